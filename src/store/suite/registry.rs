//! Claims about blobs, versions and retention.

use super::Bench;
use super::fixtures::{bare, checkpoint, document, fence, learner, model, publish, version};
use crate::growth::GrowthOp;
use crate::registry::{BlobDigest, Cause, Retention, VersionId};
use crate::stream::Seq;

/// Bytes that do not repeat.
fn bytes(length: usize) -> Vec<u8> {
    let mut state = 1u32;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(length)
    .collect()
}

pub(crate) async fn a_blob_of_many_parts_is_read_back(bench: &dyn Bench) {
    let store = bench.open().await;
    for length in [1, 4 << 20, (4 << 20) + 1, 9 << 20] {
        let blob = bytes(length);
        let digest = store.put_blob(&blob).await.unwrap();
        assert_eq!(digest, BlobDigest::of(&blob));
        assert!(store.get_blob(digest).await.unwrap().unwrap() == blob, "{length} bytes");
    }
    assert_eq!(store.get_blob(BlobDigest::of(b"another")).await.unwrap(), None);
}

pub(crate) async fn a_blob_may_be_put_twice(bench: &dyn Bench) {
    let store = bench.open().await;
    let first = store.put_blob(b"weights").await.unwrap();
    store.close().await;
    let store = bench.open().await;
    assert_eq!(store.put_blob(b"weights").await.unwrap(), first);
    assert_eq!(store.get_blob(first).await.unwrap().unwrap(), b"weights");
}

pub(crate) async fn puts_of_the_same_bytes_at_once_make_one_blob(bench: &dyn Bench) {
    let store = bench.open().await;
    let blob = bytes((8 << 20) + 5);
    let (first, second) = tokio::join!(store.put_blob(&blob), store.put_blob(&blob));
    assert_eq!(first.unwrap(), second.unwrap());
    assert!(store.get_blob(BlobDigest::of(&blob)).await.unwrap().unwrap() == blob);
}

pub(crate) async fn an_empty_blob_is_a_blob(bench: &dyn Bench) {
    let store = bench.open().await;
    let digest = store.put_blob(&[]).await.unwrap();
    assert_eq!(store.get_blob(digest).await.unwrap(), Some(Vec::new()));
}

pub(crate) async fn a_version_is_read_back_as_it_was_published(bench: &dyn Bench) {
    let store = bench.open().await;
    let learner = learner(&*store, "digits").await.id;
    let fence = fence(&*store, learner).await;
    publish(&*store, fence, 2, Cause::Teacher { op: GrowthOp::Wider }).await;
    publish(&*store, fence, 3, Cause::Growth { op: GrowthOp::Wider, trigger: "policy".into() }).await;
    let third = store.version(learner, VersionId(3)).await.unwrap().unwrap();
    assert_eq!(third.parent, Some(VersionId(2)));
    assert_eq!(third.cause, Cause::Growth { op: GrowthOp::Wider, trigger: "policy".into() });
    assert_eq!((third.trained_seq, third.metrics.holdout_rows, third.metrics.holdout_loss), (Seq(20), 3, Some(0.1)));
    assert_eq!(third.model, model());
    assert!(third.weights_kept);
    let page = store.versions(learner, VersionId(1), 1).await.unwrap();
    assert_eq!(page.iter().map(|version| version.version.0).collect::<Vec<_>>(), [2]);
    assert_eq!(store.versions(learner, VersionId(2), 10).await.unwrap(), [third]);
    assert_eq!(store.version(learner, VersionId(4)).await.unwrap(), None);
    assert_eq!(store.version(learner, VersionId(u64::MAX)).await.unwrap(), None);
    assert_eq!(store.alias(learner, "live").await.unwrap(), Some(VersionId(3)));
    assert_eq!(store.alias(learner, "other").await.unwrap(), None);
}

pub(crate) async fn dropped_weights_leave_their_rows_and_take_their_blobs(bench: &dyn Bench) {
    let store = bench.open().await;
    let learner = learner(&*store, "digits").await.id;
    let fence = fence(&*store, learner).await;
    publish(&*store, fence, 2, Cause::Trained).await;
    publish(&*store, fence, 3, Cause::Teacher { op: GrowthOp::Deeper }).await;
    publish(&*store, fence, 4, Cause::Growth { op: GrowthOp::Deeper, trigger: "manual".into() }).await;
    for number in 5..=7 {
        publish(&*store, fence, number, Cause::Trained).await;
    }
    let mut last = bare(store.checkpoint(learner).await.unwrap().unwrap());
    last.live = Some(VersionId(5));
    store.commit(fence, last).await.unwrap();
    assert_eq!(store.sweep_weights(learner, &Retention::newest(1)).await.unwrap(), 3);
    assert_eq!(store.sweep_weights(learner, &Retention::newest(1)).await.unwrap(), 0);
    let versions = store.versions(learner, VersionId(0), 10).await.unwrap();
    let kept: Vec<u64> =
        versions.iter().filter(|version| version.weights_kept).map(|version| version.version.0).collect();
    assert_eq!((versions.len(), kept), (7, vec![3, 4, 5, 7]));
    for version in versions {
        let weights = store.get_blob(version.digest).await.unwrap();
        assert_eq!(weights.is_some(), version.weights_kept, "version {}", version.version);
    }
}

pub(crate) async fn a_blob_that_two_learners_share_outlives_one_of_them(bench: &dyn Bench) {
    let store = bench.open().await;
    let mut learners = Vec::new();
    for name in ["first", "second"] {
        let first = version(&*store, 1, Cause::Created, b"the same").await;
        let checkpoint = checkpoint(&*store, 1, b"the same").await;
        learners.push(store.create_learner(&document(name), first, checkpoint).await.unwrap().id);
    }
    let fence = fence(&*store, learners[0]).await;
    publish(&*store, fence, 2, Cause::Trained).await;
    assert_eq!(store.sweep_weights(learners[0], &Retention::newest(1)).await.unwrap(), 1);
    let checkpoint = store.checkpoint(learners[1]).await.unwrap().unwrap();
    assert_eq!(store.get_blob(checkpoint.weights).await.unwrap().unwrap(), b"the same");
    assert!(store.get_blob(checkpoint.optimizer).await.unwrap().is_some());
}

pub(crate) async fn a_put_that_waits_for_its_commit_is_not_swept(bench: &dyn Bench) {
    let store = bench.open().await;
    let learner = learner(&*store, "digits").await.id;
    let fence = fence(&*store, learner).await;
    let next = checkpoint(&*store, 1, b"next").await;
    // The same bytes as the checkpoint that is replaced below, waiting for another commit.
    let old = store.put_blob(b"moments of first weights of digits").await.unwrap();
    store.sweep_weights(learner, &Retention::newest(1)).await.unwrap();
    assert!(store.get_blob(next.weights).await.unwrap().is_some());
    store.commit(fence, bare(next)).await.unwrap();
    store.sweep_weights(learner, &Retention::newest(1)).await.unwrap();
    assert!(store.get_blob(old).await.unwrap().is_some());
}
