//! The suite over SQLite with blobs in a folder beside it, and what only such a store can show.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use tempfile::TempDir;

use super::SqliteStore;
use crate::registry::{BlobDigest, RegistryStore, Retention};
use crate::store::StoreOptions;
use crate::store::objects::{Address, ObjectName, Objects};
use crate::store::suite::fixtures::{bare, checkpoint, fence, learner};
use crate::store::suite::{Bench, store_suite};
use crate::stream::StoreError;
use crate::training::{Store, TrainingStore};

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn blobs(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    async fn store_with(&self, blobs: &str) -> SqliteStore {
        let blobs = if blobs.is_empty() { String::new() } else { self.blobs(blobs).display().to_string() };
        let options = StoreOptions { blobs, ..StoreOptions::default() };
        SqliteStore::open_with(&self.0.path().join("perennial.db"), &options).await.unwrap()
    }

    async fn store(&self) -> SqliteStore {
        self.store_with("blobs").await
    }

    /// The place of the store's blobs, and the namespace in it.
    async fn objects(&self, store: &SqliteStore) -> (Objects, String) {
        let address = Address::parse(self.blobs("blobs").to_str().unwrap()).unwrap();
        let namespace =
            sqlx::query_scalar("SELECT namespace FROM object_space").fetch_one(&store.readers).await.unwrap();
        (Objects::open(&address).unwrap(), namespace)
    }
}

#[async_trait]
impl Bench for Folder {
    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(self.store().await)
    }
}

store_suite!(Folder::new());

async fn change(store: &SqliteStore, statement: &'static str) {
    sqlx::query(statement).execute(&store.writer).await.unwrap();
}

#[tokio::test]
async fn a_blob_is_an_object_and_no_part_of_the_database() {
    let folder = Folder::new();
    let store = folder.store().await;
    let digest = store.put_blob(b"the weights").await.unwrap();
    let parts: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM blob_parts").fetch_one(&store.readers).await.unwrap();
    assert_eq!(parts, 0);
    let (objects, namespace) = folder.objects(&store).await;
    let names = objects.list(&namespace).await.unwrap();
    assert_eq!(names.iter().map(|name| name.digest).collect::<Vec<_>>(), [digest]);
}

#[tokio::test]
async fn older_blobs_stay_readable_where_they_are_when_the_setting_changes() {
    let folder = Folder::new();
    let mut digests = Vec::new();
    for (place, bytes) in [("", b"one"), ("first", b"two"), ("second", b"six"), ("", b"ten")] {
        let store = folder.store_with(place).await;
        digests.push((store.put_blob(bytes).await.unwrap(), bytes));
        for (digest, bytes) in &digests {
            assert_eq!(store.get_blob(*digest).await.unwrap().unwrap(), *bytes, "from {place:?}");
        }
        store.close().await;
    }
    assert!(folder.blobs("first").is_dir() && folder.blobs("second").is_dir());
}

#[tokio::test]
async fn a_damaged_or_missing_object_is_detected() {
    let folder = Folder::new();
    let store = folder.store().await;
    let digest = store.put_blob(b"the weights").await.unwrap();
    let (objects, namespace) = folder.objects(&store).await;
    let name = objects.list(&namespace).await.unwrap().pop().unwrap();
    objects.put(&namespace, &name, b"the Weights").await.unwrap();
    let damage = store.get_blob(digest).await.unwrap_err();
    assert!(matches!(&damage, StoreError::Damaged(text) if text.contains(&digest.to_hex())), "{damage}");
    objects.delete(&namespace, &name).await.unwrap();
    let damage = store.get_blob(digest).await.unwrap_err();
    assert!(matches!(&damage, StoreError::Damaged(text) if text.contains("not there")), "{damage}");
}

#[tokio::test]
async fn an_object_without_a_row_is_swept_and_a_strangers_file_is_not() {
    let folder = Folder::new();
    let store = folder.store().await;
    let named = learner(&store, "digits").await.id;
    let (objects, namespace) = folder.objects(&store).await;
    let lost = ObjectName { digest: BlobDigest::of(b"lost"), row: 9_999 };
    objects.put(&namespace, &lost, b"lost").await.unwrap();
    objects.put("another database", &lost, b"lost").await.unwrap();
    std::fs::write(folder.blobs("blobs").join("notes.txt"), "a stranger's").unwrap();
    store.sweep_objects().await.unwrap();
    assert_eq!(objects.get(&namespace, &lost).await.unwrap(), None);
    assert!(objects.get("another database", &lost).await.unwrap().is_some());
    assert!(folder.blobs("blobs").join("notes.txt").exists());
    let checkpoint = store.checkpoint(named).await.unwrap().unwrap();
    assert!(store.get_blob(checkpoint.weights).await.unwrap().is_some());
}

#[tokio::test]
async fn a_replaced_checkpoints_objects_go_but_not_while_a_backup_reads() {
    let folder = Folder::new();
    let store = folder.store().await;
    let learner = learner(&store, "digits").await.id;
    let fence = fence(&store, learner).await;
    let (objects, namespace) = folder.objects(&store).await;
    let count = async || objects.list(&namespace).await.unwrap().len();
    // Weights of version 1, which the checkpoint shares, and the optimizer's state.
    assert_eq!(count().await, 2);
    let next = checkpoint(&store, 1, b"second").await;
    store.commit(fence, bare(next)).await.unwrap();
    assert_eq!(count().await, 3, "the first optimizer's state is gone, the version's weights are not");
    change(&store, "UPDATE object_space SET kept_until = 9000000000000000").await;
    let next = checkpoint(&store, 1, b"third").await;
    store.commit(fence, bare(next)).await.unwrap();
    assert_eq!(count().await, 5, "nothing goes meanwhile");
    store.sweep_objects().await.unwrap();
    assert_eq!(count().await, 5);
    change(&store, "UPDATE object_space SET kept_until = 0").await;
    store.sweep_objects().await.unwrap();
    assert_eq!(count().await, 3);
}

#[tokio::test]
async fn puts_fail_while_the_object_store_is_gone_and_are_done_when_it_is_back() {
    let folder = Folder::new();
    let store = folder.store().await;
    let learner = learner(&store, "digits").await.id;
    let away = folder.blobs("away");
    std::fs::rename(folder.blobs("blobs"), &away).unwrap();
    std::fs::write(folder.blobs("blobs"), "not a folder").unwrap();
    let error = store.put_blob(b"next").await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    assert_eq!(store.get_blob(BlobDigest::of(b"next")).await.unwrap(), None, "nothing names half a blob");
    assert_eq!(
        store.sweep_weights(learner, &Retention::newest(1)).await.unwrap(),
        0,
        "a sweep is not in the way of anybody"
    );
    std::fs::remove_file(folder.blobs("blobs")).unwrap();
    std::fs::rename(&away, folder.blobs("blobs")).unwrap();
    let digest = store.put_blob(b"next").await.unwrap();
    assert_eq!(store.get_blob(digest).await.unwrap().unwrap(), b"next");
    let checkpoint = store.checkpoint(learner).await.unwrap().unwrap();
    assert!(store.get_blob(checkpoint.weights).await.unwrap().is_some());
}
