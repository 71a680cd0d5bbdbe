//! What is left of a blob whose row is gone, and is deleted after it.

use super::{ObjectName, PlacedBlob};
use crate::store::columns::Columns;
use crate::store::values::digest;
use crate::stream::StoreError;

/// The bytes of a blob that has no row any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct Remains {
    /// The number that its row had.
    pub(in crate::store) id: i64,
    /// Where its object is; `None`: it has parts in the database.
    pub(in crate::store) object: Option<PlacedBlob>,
}

impl Remains {
    /// Parts of the row with this number.
    pub(in crate::store) fn in_parts(id: i64) -> Self {
        Self { id, object: None }
    }

    /// Reads a deleted row's `id`, `digest` and `place_id`.
    pub(in crate::store) fn of(row: &impl Columns) -> Result<Self, StoreError> {
        let id = row.integer("id")?;
        let Some(place) = row.optional_integer("place_id")? else { return Ok(Self::in_parts(id)) };
        let digest = digest(row.bytes("digest")?, format_args!("blob {id}"))?;
        Ok(Self { id, object: Some(PlacedBlob { name: ObjectName { digest, row: id }, place }) })
    }
}
