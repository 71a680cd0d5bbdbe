//! The suite over a database whose blobs lie in an object store, and what only that can show.

use std::sync::Arc;

use async_trait::async_trait;

use super::server::{self, Database};
use super::{Fresh, options, store};
use crate::registry::{BlobDigest, RegistryStore};
use crate::store::StoreOptions;
use crate::store::objects::{Address, ObjectName, Objects};
use crate::store::postgres::PostgresStore;
use crate::store::suite::{Bench, store_suite};
use crate::training::Store;

/// A database whose blobs lie in a folder beside it.
struct WithObjects(Fresh, tempfile::TempDir);

impl WithObjects {
    fn new() -> Self {
        Self(Fresh::new(), tempfile::tempdir().unwrap())
    }
}

#[async_trait]
impl Bench for WithObjects {
    async fn open(&self) -> Arc<dyn Store> {
        let blobs = self.1.path().display().to_string();
        let store = StoreOptions { blobs, ..StoreOptions::default() };
        Arc::new(PostgresStore::open_with(&options(self.0.0.as_ref().unwrap()), &store).await.unwrap())
    }

    fn is_there(&self) -> bool {
        self.0.is_there()
    }
}

mod with_objects {
    use super::{WithObjects, store_suite};

    store_suite!(WithObjects::new());
}

#[tokio::test]
async fn a_database_that_is_behind_is_refused_where_the_start_may_not_migrate_it() {
    let Some(database) = server::shared().map(Database::new) else { return };
    let as_it_is = StoreOptions { migrate: false, ..StoreOptions::default() };
    let refused = PostgresStore::open_with(&options(&database), &as_it_is).await.err().unwrap().to_string();
    assert!(refused.contains("run `perennial migrate`") && refused.contains("pending: 1"), "{refused}");
    store(&database).await.close().await;
    PostgresStore::open_with(&options(&database), &as_it_is).await.unwrap();
}

#[tokio::test]
async fn an_object_without_a_row_is_swept() {
    let Some(database) = server::shared().map(Database::new) else { return };
    let folder = tempfile::tempdir().unwrap();
    let blobs = folder.path().display().to_string();
    let with_objects = StoreOptions { blobs: blobs.clone(), ..StoreOptions::default() };
    let store = PostgresStore::open_with(&options(&database), &with_objects).await.unwrap();
    let digest = store.put_blob(b"claimed").await.unwrap();
    let namespace: String = sqlx::query_scalar("SELECT namespace FROM object_space")
        .fetch_one(&mut database.connect().await)
        .await
        .unwrap();
    let objects = Objects::open(&Address::parse(&blobs).unwrap()).unwrap();
    let lost = ObjectName { digest: BlobDigest::of(b"lost"), row: 9_999 };
    objects.put(&namespace, &lost, b"lost").await.unwrap();
    store.sweep_objects().await.unwrap();
    assert_eq!(objects.get(&namespace, &lost).await.unwrap(), None);
    assert_eq!(store.get_blob(digest).await.unwrap().unwrap(), b"claimed");
}
