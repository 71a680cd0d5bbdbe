//! The kinds of problems: code, status and title of each, in one table.

use axum::http::StatusCode;

/// What went wrong, as programs tell it apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The body is no JSON.
    MalformedBody,
    /// A query parameter is unknown or makes no sense.
    InvalidQuery,
    /// A header makes no sense.
    InvalidHeader,
    /// There is nothing at this path.
    NotFound,
    /// There is no such learner.
    LearnerNotFound,
    /// The learner has no such version.
    VersionNotFound,
    /// The learner has no such alias.
    AliasNotFound,
    /// The learner has no such example.
    ExampleNotFound,
    /// The learner has no such growth order.
    GrowthNotFound,
    /// The network has no such node.
    UnknownNode,
    /// The path does not take this method.
    MethodNotAllowed,
    /// The body did not arrive in time.
    SlowBody,
    /// The name is taken.
    LearnerExists,
    /// The server has as many learners as it may.
    TooManyLearners,
    /// A request under the same idempotency key is in progress.
    RequestInProgress,
    /// The document was changed by others again and again.
    Conflict,
    /// The alias is pinned.
    AliasPinned,
    /// The alias cannot be deleted.
    AliasReserved,
    /// The learner has as many aliases as it may.
    TooManyAliases,
    /// An alias cannot move to a version that cannot be loaded.
    VersionNotLoadable,
    /// No older version was live.
    NothingToRollBackTo,
    /// The alias is not what the client says that it is.
    PreconditionFailed,
    /// The alias's name is none.
    InvalidAlias,
    /// The weights of the version were dropped.
    WeightsGone,
    /// The body is larger than it may be.
    BodyTooLarge,
    /// There are more rows than a request may have.
    TooManyRows,
    /// The body's media type is not understood.
    UnsupportedMediaType,
    /// The learner's document is at fault.
    InvalidDocument,
    /// The rows do not fit the learner.
    InvalidRows,
    /// The growth order is at fault.
    InvalidGrowth,
    /// Another body came under this idempotency key.
    KeyReused,
    /// The growth cannot be done.
    GrowthRefused,
    /// A queue is full.
    QueueFull,
    /// Something broke.
    Internal,
    /// The growth broke; nothing changed.
    GrowthFailed,
    /// The store failed.
    StorageUnavailable,
    /// The store has no room left.
    StorageFull,
    /// More requests than the server takes at once.
    Overloaded,
    /// The request took too long.
    Timeout,
    /// The content encoding is not understood.
    UnsupportedEncoding,
    /// The server is stopping.
    Stopping,
    /// The server cannot predict yet.
    NotReady,
    /// The version cannot be loaded.
    VersionDamaged,
}

impl Kind {
    /// The stable name for programs.
    pub fn code(self) -> &'static str {
        self.row().1
    }

    /// The same for every problem of the kind.
    pub fn title(self) -> &'static str {
        self.row().2
    }

    /// The status.
    pub fn status(self) -> StatusCode {
        self.row().0
    }

    /// After how many seconds another try may help, where it may.
    pub fn retry_after(self) -> Option<u32> {
        match self {
            Self::QueueFull | Self::Overloaded | Self::NotReady | Self::RequestInProgress => Some(1),
            Self::StorageUnavailable | Self::Timeout | Self::Stopping => Some(5),
            Self::StorageFull => Some(30),
            _ => None,
        }
    }

    fn row(self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        match self {
            Self::MalformedBody => (S::BAD_REQUEST, "malformed_body", "The body is not well-formed"),
            Self::InvalidQuery => (S::BAD_REQUEST, "invalid_query", "A query parameter is at fault"),
            Self::InvalidHeader => (S::BAD_REQUEST, "invalid_header", "A header is at fault"),
            Self::NotFound => (S::NOT_FOUND, "not_found", "There is nothing at this path"),
            Self::LearnerNotFound => (S::NOT_FOUND, "learner_not_found", "There is no such learner"),
            Self::VersionNotFound => (S::NOT_FOUND, "version_not_found", "There is no such version"),
            Self::AliasNotFound => (S::NOT_FOUND, "alias_not_found", "There is no such alias"),
            Self::ExampleNotFound => (S::NOT_FOUND, "example_not_found", "There is no such example"),
            Self::GrowthNotFound => (S::NOT_FOUND, "growth_not_found", "There is no such growth order"),
            Self::UnknownNode => (S::NOT_FOUND, "unknown_node", "There is no such node"),
            Self::MethodNotAllowed => (S::METHOD_NOT_ALLOWED, "method_not_allowed", "The method is not allowed here"),
            Self::SlowBody => (S::REQUEST_TIMEOUT, "slow_body", "The body did not arrive in time"),
            Self::LearnerExists => (S::CONFLICT, "learner_exists", "The name is taken"),
            Self::TooManyLearners => (S::CONFLICT, "too_many_learners", "There are too many learners"),
            Self::RequestInProgress => (S::CONFLICT, "request_in_progress", "The same request is in progress"),
            Self::Conflict => (S::CONFLICT, "conflict", "The learner was changed meanwhile"),
            Self::AliasPinned => (S::CONFLICT, "alias_pinned", "The alias is pinned"),
            Self::AliasReserved => (S::CONFLICT, "alias_reserved", "The alias cannot be deleted"),
            Self::TooManyAliases => (S::CONFLICT, "too_many_aliases", "There are too many aliases"),
            Self::VersionNotLoadable => (S::CONFLICT, "version_not_loadable", "The version cannot be loaded"),
            Self::NothingToRollBackTo => {
                (S::CONFLICT, "nothing_to_roll_back_to", "There is no older version to go back to")
            }
            Self::PreconditionFailed => {
                (S::PRECONDITION_FAILED, "precondition_failed", "The alias was changed meanwhile")
            }
            Self::InvalidAlias => (S::UNPROCESSABLE_ENTITY, "invalid_alias", "The alias's name is at fault"),
            Self::WeightsGone => (S::GONE, "weights_gone", "The weights are no longer kept"),
            Self::BodyTooLarge => (S::PAYLOAD_TOO_LARGE, "body_too_large", "The body is too large"),
            Self::TooManyRows => (S::PAYLOAD_TOO_LARGE, "too_many_rows", "There are too many rows"),
            Self::UnsupportedMediaType => {
                (S::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "The media type is not understood")
            }
            Self::InvalidDocument => (S::UNPROCESSABLE_ENTITY, "invalid_document", "The document is at fault"),
            Self::InvalidRows => (S::UNPROCESSABLE_ENTITY, "invalid_rows", "The rows do not fit the learner"),
            Self::InvalidGrowth => (S::UNPROCESSABLE_ENTITY, "invalid_growth", "The growth order is at fault"),
            Self::KeyReused => (S::UNPROCESSABLE_ENTITY, "key_reused", "The idempotency key was used before"),
            Self::GrowthRefused => (S::UNPROCESSABLE_ENTITY, "growth_refused", "The growth cannot be done"),
            Self::QueueFull => (S::TOO_MANY_REQUESTS, "queue_full", "Too much is waiting"),
            Self::Internal => (S::INTERNAL_SERVER_ERROR, "internal", "Something broke"),
            Self::GrowthFailed => (S::INTERNAL_SERVER_ERROR, "growth_failed", "The growth broke"),
            Self::StorageUnavailable => (S::SERVICE_UNAVAILABLE, "storage_unavailable", "The store failed"),
            Self::StorageFull => (S::INSUFFICIENT_STORAGE, "storage_full", "The store is full"),
            Self::UnsupportedEncoding => {
                (S::UNSUPPORTED_MEDIA_TYPE, "unsupported_encoding", "The content encoding is not understood")
            }
            Self::Overloaded => (S::SERVICE_UNAVAILABLE, "overloaded", "Too many requests at once"),
            Self::Timeout => (S::SERVICE_UNAVAILABLE, "timeout", "The request took too long"),
            Self::Stopping => (S::SERVICE_UNAVAILABLE, "stopping", "The server is stopping"),
            Self::NotReady => (S::SERVICE_UNAVAILABLE, "not_ready", "The server cannot predict yet"),
            Self::VersionDamaged => (S::SERVICE_UNAVAILABLE, "version_damaged", "The version cannot be loaded"),
        }
    }
}
