//! Claims about learners.

use super::Bench;
use super::fixtures::{append, checkpoint, document, example, fence, learner, model, request, version};
use crate::registry::{BlobDigest, Cause, VersionId};
use crate::stream::{AppendRefusal, LearnerName, Seq, StoreError};
use crate::training::{CreateError, GrowthOrder};

pub(crate) async fn a_created_learner_has_its_first_version_live_and_its_checkpoint(bench: &dyn Bench) {
    let store = bench.open().await;
    let created = learner(&*store, "digits").await;
    store.close().await;
    let store = bench.open().await;
    assert_eq!((created.revision, created.head), (1, Seq(0)));
    assert_eq!(created.document, document("digits"));
    assert_eq!(store.learner(&created.document.name).await.unwrap(), Some(created.clone()));
    assert_eq!(store.learner_by_id(created.id).await.unwrap(), Some(created.clone()));
    assert_eq!(store.alias(created.id, "live").await.unwrap(), Some(VersionId(1)));
    let first = store.version(created.id, VersionId(1)).await.unwrap().unwrap();
    assert_eq!((first.cause, first.parent, first.model), (Cause::Created, None, model()));
    assert_eq!(store.get_blob(first.digest).await.unwrap().unwrap(), b"first weights of digits");
    let checkpoint = store.checkpoint(created.id).await.unwrap().unwrap();
    assert_eq!((checkpoint.weights, checkpoint.last_version), (first.digest, VersionId(1)));
    assert!(store.get_blob(checkpoint.optimizer).await.unwrap().is_some());
}

pub(crate) async fn a_taken_name_is_refused_and_nothing_of_it_is_stored(bench: &dyn Bench) {
    let store = bench.open().await;
    let taken = learner(&*store, "digits").await;
    let first = version(&*store, 1, Cause::Created, b"other").await;
    let second = store.create_learner(&document("digits"), first, checkpoint(&*store, 1, b"other").await).await;
    assert!(matches!(second, Err(CreateError::Duplicate)));
    assert_eq!(store.learners(None, 10).await.unwrap(), [taken]);
    let next = learner(&*store, "next").await.id;
    assert_eq!(store.versions(next, VersionId(0), 10).await.unwrap().len(), 1);
}

pub(crate) async fn learners_are_listed_by_name_in_pages(bench: &dyn Bench) {
    let store = bench.open().await;
    for name in ["b", "a", "c.1", "c"] {
        learner(&*store, name).await;
    }
    let names = |page: Vec<crate::training::LearnerRecord>| -> Vec<String> {
        page.iter().map(|record| record.document.name.to_string()).collect()
    };
    assert_eq!(names(store.learners(None, 2).await.unwrap()), ["a", "b"]);
    let after = LearnerName::parse("b").unwrap();
    assert_eq!(names(store.learners(Some(&after), 10).await.unwrap()), ["c", "c.1"]);
    assert_eq!(store.learner(&LearnerName::parse("d").unwrap()).await.unwrap(), None);
}

pub(crate) async fn settings_are_replaced_only_at_their_revision(bench: &dyn Bench) {
    let store = bench.open().await;
    let created = learner(&*store, "digits").await;
    append(&*store, request(created.id, vec![example(None, 1.0)])).await.unwrap();
    let mut changed = created.document.clone();
    changed.training.learning_rate = 0.1;
    let record = store.update_learner(created.id, 1, &changed).await.unwrap().unwrap();
    assert_eq!((record.revision, record.head, &record.document), (2, Seq(1), &changed));
    assert_eq!(store.update_learner(created.id, 1, &created.document).await.unwrap(), None);
    assert_eq!(store.learner_by_id(created.id).await.unwrap(), Some(record));
    changed.name = LearnerName::parse("renamed").unwrap();
    assert_eq!(store.update_learner(created.id, 2, &changed).await.unwrap(), None, "a document cannot rename");
}

pub(crate) async fn a_deleted_learner_is_gone_at_once_and_its_name_is_free(bench: &dyn Bench) {
    let store = bench.open().await;
    let gone = learner(&*store, "digits").await;
    let other = learner(&*store, "other").await;
    append(&*store, request(gone.id, vec![example(Some("x"), 1.0)])).await.unwrap();
    append(&*store, request(other.id, vec![example(Some("x"), 2.0)])).await.unwrap();
    let fence = fence(&*store, gone.id).await;
    assert!(store.delete_learner(gone.id).await.unwrap());
    assert!(!store.delete_learner(gone.id).await.unwrap());
    assert_eq!(store.learner(&gone.document.name).await.unwrap(), None);
    assert_eq!(store.learner_by_id(gone.id).await.unwrap(), None);
    assert!(store.read(gone.id, Seq(0), 10).await.unwrap().is_empty());
    assert_eq!(append(&*store, request(gone.id, vec![example(None, 3.0)])).await, Err(AppendRefusal::LearnerGone));
    assert!(matches!(store.append_journal(fence, vec![]).await, Err(StoreError::LeaseLost)));
    assert!(store.acquire_lease(gone.id, "a trainer", time::Duration::MINUTE).await.unwrap().is_none());
    assert!(store.order_growth(gone.id, &GrowthOrder::Auto).await.is_err());
    let again = learner(&*store, "digits").await;
    assert_ne!(again.id, gone.id);
    assert_eq!(again.head, Seq(0));
    assert_eq!(store.learner(&other.document.name).await.unwrap().unwrap().head, Seq(1));
}

pub(crate) async fn a_number_is_never_given_twice(bench: &dyn Bench) {
    let store = bench.open().await;
    let first = learner(&*store, "digits").await.id;
    store.delete_learner(first).await.unwrap();
    store.close().await;
    let store = bench.open().await;
    assert!(learner(&*store, "digits").await.id > first);
}

pub(crate) async fn a_learner_that_names_a_missing_blob_is_not_created(bench: &dyn Bench) {
    let store = bench.open().await;
    let first = version(&*store, 1, Cause::Created, b"weights").await;
    let mut checkpoint = checkpoint(&*store, 1, b"weights").await;
    checkpoint.optimizer = BlobDigest::of(b"nowhere");
    let refused = store.create_learner(&document("digits"), first, checkpoint).await;
    assert!(matches!(refused, Err(CreateError::Store(StoreError::Unavailable(_)))));
    assert!(store.learners(None, 10).await.unwrap().is_empty());
}
