//! Aliases as the surface shows them.

use axum::Json;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use time::OffsetDateTime;

use crate::registry::{Alias, AliasName, VersionId};

/// An alias.
#[derive(Debug, Serialize)]
pub struct AliasView {
    alias: AliasName,
    version: VersionId,
    pinned: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting: Option<VersionId>,
    generation: u64,
    #[serde(with = "time::serde::rfc3339")]
    changed_at: OffsetDateTime,
}

/// An alias beside a version that it names.
#[derive(Debug, Serialize)]
pub struct AliasMark {
    alias: AliasName,
    pinned: bool,
}

impl From<Alias> for AliasView {
    fn from(alias: Alias) -> Self {
        Self {
            alias: alias.name,
            version: alias.version,
            pinned: alias.pinned,
            waiting: alias.waiting,
            generation: alias.generation,
            changed_at: alias.changed_at,
        }
    }
}

/// The aliases that name a version.
pub fn marks(aliases: &[Alias], version: VersionId) -> Vec<AliasMark> {
    let naming = aliases.iter().filter(|alias| alias.version == version);
    naming.map(|alias| AliasMark { alias: alias.name.clone(), pinned: alias.pinned }).collect()
}

/// The alias as an answer, its generation as the `ETag` that `If-Match` takes.
pub fn answer(alias: Alias) -> Response {
    let tag = tag(&alias);
    ([(header::ETAG, tag)], Json(AliasView::from(alias))).into_response()
}

/// The `ETag` of an alias.
pub fn tag(alias: &Alias) -> String {
    format!("\"{}\"", alias.generation)
}
