//! From the errors of the rest of the crate to problems. What only the log may know stays in the log.

use axum::BoxError;
use axum::http::{HeaderValue, header};

use super::{Kind, Problem};
use crate::growth::Refusal;
use crate::registry::AliasError;
use crate::serving::PredictError;
use crate::stream::decode::DecodeError;
use crate::stream::intake::IntakeError;
use crate::stream::spool::SpoolError;
use crate::stream::writer::WriteError;
use crate::stream::{AppendRefusal, StoreError};
use crate::training::CreateError;
use crate::training::creation::CreationError;

impl Problem {
    /// Something broke inside; `reason` goes to the log alone.
    pub fn internal(reason: &dyn std::fmt::Display) -> Self {
        tracing::error!(%reason, "a request failed inside");
        Self::new(Kind::Internal, "something broke inside the server; its log says more under this request id")
    }

    /// There is no learner of this name.
    pub fn learner_not_found() -> Self {
        Self::new(Kind::LearnerNotFound, "there is no learner of this name")
    }

    /// The learner has no such alias.
    pub fn alias_not_found() -> Self {
        Self::new(Kind::AliasNotFound, "the learner has no such alias")
    }

    /// What the layers for load and time refuse.
    pub fn from_layer(error: &BoxError) -> Self {
        if error.is::<tower::load_shed::error::Overloaded>() {
            Self::new(Kind::Overloaded, "the server answers as many requests as it takes at once")
        } else if error.is::<tower::timeout::error::Elapsed>() {
            Self::new(Kind::Timeout, "the request was given up; what it began may still be done")
        } else {
            Self::internal(error)
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the store failed a request");
        match error {
            StoreError::Damaged(_) => Self::internal(&"a stored row is damaged"),
            StoreError::Full(_) => Self::new(
                Kind::StorageFull,
                "there is no room left to store anything; predictions go on, and so does all else once there is room",
            ),
            StoreError::Unavailable(_) | StoreError::Contended(_) | StoreError::LeaseLost => {
                Self::new(Kind::StorageUnavailable, "the database does not answer; try again")
            }
        }
    }
}

impl From<WriteError> for Problem {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::QueueFull { retry_after } => {
                Self::new(Kind::QueueFull, "too many examples are waiting to be written")
                    .with_header(header::RETRY_AFTER, HeaderValue::from(retry_after))
            }
            WriteError::InProgress => {
                Self::new(Kind::RequestInProgress, "a request under the same idempotency key is in progress")
            }
            WriteError::Stopping => Self::new(Kind::Stopping, "the server is stopping"),
            WriteError::Refused(AppendRefusal::LearnerGone) => Self::learner_not_found(),
            WriteError::Refused(AppendRefusal::KeyReused) => {
                Self::new(Kind::KeyReused, "another body came under this idempotency key")
            }
            WriteError::Store(error) => error.into(),
        }
    }
}

impl From<PredictError> for Problem {
    fn from(error: PredictError) -> Self {
        let detail = error.to_string();
        match error {
            PredictError::QueueFull => Self::new(Kind::QueueFull, detail),
            PredictError::Deadline => Self::new(Kind::Timeout, detail),
            PredictError::UnknownVersion(_) => Self::new(Kind::VersionNotFound, detail),
            PredictError::UnknownAlias => Self::alias_not_found(),
            PredictError::WeightsGone(_) => Self::new(Kind::WeightsGone, detail),
            PredictError::Damaged(_) => Self::new(Kind::VersionDamaged, detail),
            PredictError::NotLoaded => Self::new(Kind::NotReady, detail),
            PredictError::Stopping => Self::new(Kind::Stopping, detail),
            PredictError::Failed(_) => Self::internal(&detail),
            PredictError::Store(error) => error.into(),
        }
    }
}

impl From<AliasError> for Problem {
    fn from(error: AliasError) -> Self {
        let detail = error.to_string();
        match error {
            AliasError::Changed(generation) => {
                Self::new(Kind::PreconditionFailed, detail).with_member("generation", generation.into())
            }
            AliasError::Unknown => Self::alias_not_found(),
            AliasError::Pinned => Self::new(Kind::AliasPinned, detail),
            AliasError::Waits(_) => Self::new(Kind::Conflict, detail),
            AliasError::Reserved => Self::new(Kind::AliasReserved, detail),
            AliasError::TooMany(_) => Self::new(Kind::TooManyAliases, detail),
            AliasError::UnknownVersion(_) => Self::new(Kind::VersionNotFound, detail),
            AliasError::WeightsGone(_) => Self::new(Kind::VersionNotLoadable, detail),
            AliasError::LearnerGone => Self::learner_not_found(),
            AliasError::Store(error) => error.into(),
        }
    }
}

impl From<CreationError> for Problem {
    fn from(error: CreationError) -> Self {
        match error {
            CreationError::Create(CreateError::Duplicate) => {
                Self::new(Kind::LearnerExists, "there is a learner of this name").at("/name", "is taken")
            }
            CreationError::Create(CreateError::Store(error)) | CreationError::Store(error) => error.into(),
            CreationError::Network(error) => {
                Self::new(Kind::InvalidDocument, "the network cannot be built").at("/network", error.to_string())
            }
            CreationError::Failed(reason) => Self::internal(&reason),
        }
    }
}

impl From<DecodeError> for Problem {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::Malformed(fault) => {
                Self::new(Kind::MalformedBody, "the body is not well-formed").with_errors(vec![fault])
            }
            DecodeError::Invalid(faults) => {
                Self::new(Kind::InvalidRows, "rows do not fit the learner; none of the request was taken")
                    .with_errors(faults)
            }
            DecodeError::TooManyRows { limit } => {
                Self::new(Kind::TooManyRows, format!("a request has at most {limit} rows"))
            }
            DecodeError::TooLong { limit } => Self::new(
                Kind::BodyTooLarge,
                format!("a document, a line, a record and an unpacked Arrow message have at most {limit} bytes"),
            ),
        }
    }
}

impl From<IntakeError> for Problem {
    fn from(error: IntakeError) -> Self {
        match error {
            IntakeError::Body(error) => error.into(),
            IntakeError::Spool(error) => error.into(),
        }
    }
}

impl From<SpoolError> for Problem {
    fn from(error: SpoolError) -> Self {
        tracing::warn!(%error, "the rows of a body cannot be spooled");
        match error {
            SpoolError::TooLarge { .. } => Self::new(Kind::BodyTooLarge, error.to_string()),
            SpoolError::Full => Self::new(Kind::StorageFull, error.to_string()),
            SpoolError::Failed(_) => Self::new(Kind::StorageUnavailable, "the rows of the body cannot be kept"),
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let kind = if matches!(refusal, Refusal::UnknownNode { .. }) { Kind::UnknownNode } else { Kind::GrowthRefused };
        match serde_json::to_value(&refusal) {
            Ok(document) => Self::new(kind, refusal.to_string()).with_member("refusal", document),
            Err(error) => Self::internal(&error),
        }
    }
}
