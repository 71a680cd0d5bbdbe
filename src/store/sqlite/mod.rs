//! SQLite in one file: WAL, `synchronous=FULL`, one writing connection, many reading ones.

use std::path::Path;

use crate::stream::StoreError;

/// The store in one SQLite file. Cheap to clone.
#[derive(Clone)]
pub struct SqliteStore {}

impl SqliteStore {
    /// Opens the file, creating it and its folder if need be, and brings its tables up to date.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let _ = path;
        unimplemented!("helper D")
    }
}
