//! How a store is opened: what the configuration says of it. Given by `cli`, read by every store.

/// What may differ from one opening to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreOptions {
    /// Whether pending migrations are applied; otherwise a database that lacks one is refused.
    pub migrate: bool,
    /// Where new blobs go: empty for the database, a folder, or the URL of an object store.
    pub blobs: String,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { migrate: true, blobs: String::new() }
    }
}

impl From<&crate::config::StorageConfig> for StoreOptions {
    fn from(config: &crate::config::StorageConfig) -> Self {
        Self { migrate: config.migrate, blobs: config.blobs.clone() }
    }
}
