//! Claims about the tables themselves: what is damaged, broken off or left over is found, named and swept.

use std::time::{Duration, Instant};

use super::Tables;
use super::fixtures::{append, bare, checkpoint, example, fence, keyed, learner, publish};
use crate::registry::{Cause, Retention, VersionId};
use crate::store::blob_bytes::PART_BYTES;
use crate::stream::{Seq, StoreError};
use crate::training::{GrowthOrder, JournalEvent};

/// How long what is done behind the caller's back may take before a test says that it is not done.
const PATIENCE: Duration = Duration::from_secs(60);

fn damage<T>(result: Result<T, StoreError>) -> String {
    match result {
        Err(StoreError::Damaged(reason)) => reason,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("the damage went unnoticed"),
    }
}

pub(crate) async fn parts_hold_at_most_four_mebibytes(bench: &dyn Tables) {
    let store = bench.open().await;
    store.put_blob(&vec![7; 2 * PART_BYTES + 1]).await.unwrap();
    assert_eq!(bench.count("SELECT MAX(length(bytes)) FROM blob_parts").await, 4 << 20);
    assert_eq!(bench.count("SELECT COUNT(*) FROM blob_parts").await, 3);
}

pub(crate) async fn a_damaged_blob_is_detected(bench: &dyn Tables) {
    let store = bench.open().await;
    let digest = store.put_blob(b"the weights").await.unwrap();
    bench.change("UPDATE blob_parts SET bytes = CAST('the Weights' AS BLOB)").await;
    assert!(damage(store.get_blob(digest).await).contains(&digest.to_hex()));
    bench.change("UPDATE blob_parts SET bytes = CAST('the weight' AS BLOB)").await;
    damage(store.get_blob(digest).await);
    bench.change("DELETE FROM blob_parts").await;
    damage(store.get_blob(digest).await);
}

pub(crate) async fn a_put_that_was_broken_off_is_never_seen_and_swept_after_an_hour(bench: &dyn Tables) {
    let store = bench.open().await;
    let learner = learner(&*store, "digits").await.id;
    let digest = store.put_blob(b"half of it").await.unwrap();
    bench.change("UPDATE blobs SET complete = FALSE, claims = 0 WHERE claims = 1").await;
    assert_eq!(store.get_blob(digest).await.unwrap(), None);
    let rows = "SELECT COUNT(*) FROM blobs WHERE NOT complete";
    store.sweep_weights(learner, &Retention::newest(1)).await.unwrap();
    assert_eq!(bench.count(rows).await, 1);
    assert_eq!(store.put_blob(b"half of it").await.unwrap(), digest);
    assert_eq!(store.get_blob(digest).await.unwrap().unwrap(), b"half of it");
    bench.change("UPDATE blobs SET touched_at = touched_at - 3601000000 WHERE NOT complete").await;
    store.sweep_weights(learner, &Retention::newest(1)).await.unwrap();
    assert_eq!(bench.count(rows).await, 0);
    assert_eq!(bench.count("SELECT COUNT(*) FROM blob_parts WHERE blob_id NOT IN (SELECT id FROM blobs)").await, 0);
    assert!(store.get_blob(digest).await.unwrap().is_some());
}

pub(crate) async fn a_claim_whose_process_died_ends_after_an_hour(bench: &dyn Tables) {
    let store = bench.open().await;
    let learner = learner(&*store, "digits").await.id;
    let digest = store.put_blob(b"never named").await.unwrap();
    store.sweep_weights(learner, &Retention::newest(1)).await.unwrap();
    assert!(store.get_blob(digest).await.unwrap().is_some());
    bench.change("UPDATE blobs SET touched_at = touched_at - 3601000000").await;
    store.sweep_weights(learner, &Retention::newest(1)).await.unwrap();
    assert!(store.get_blob(digest).await.unwrap().is_none());
    let checkpoint = store.checkpoint(learner).await.unwrap().unwrap();
    assert!(store.get_blob(checkpoint.weights).await.unwrap().is_some(), "what is named stays, however old");
    assert!(store.get_blob(checkpoint.optimizer).await.unwrap().is_some());
}

pub(crate) async fn no_row_ever_names_an_incomplete_blob(bench: &dyn Tables) {
    let store = bench.open().await;
    let learner = learner(&*store, "digits").await.id;
    let fence = fence(&*store, learner).await;
    let next = checkpoint(&*store, 1, b"next").await;
    bench.change("UPDATE blobs SET complete = FALSE WHERE claims = 1").await;
    assert!(matches!(store.commit(fence, bare(next.clone())).await, Err(StoreError::Unavailable(_))));
    checkpoint(&*store, 1, b"next").await;
    store.commit(fence, bare(next)).await.unwrap();
}

pub(crate) async fn damaged_rows_are_named_and_not_quoted(bench: &dyn Tables) {
    let store = bench.open().await;
    let learner = learner(&*store, "digits").await.id;
    let fence = fence(&*store, learner).await;
    append(&*store, keyed(learner, "k", 1, vec![example(None, 1.0)])).await.unwrap();
    store.append_journal(fence, vec![JournalEvent::Pass { number: 1, until: Seq(1) }]).await.unwrap();
    let intact = store.version(learner, VersionId(1)).await.unwrap();
    assert!(intact.is_some());
    for statement in [
        "UPDATE examples SET row = CAST('secret' AS BLOB)",
        "UPDATE journal SET event = '{\"secret\": 1}'",
        "UPDATE versions SET model = '\"secret\"'",
        "UPDATE checkpoints SET progress = 'secret'",
        "UPDATE idempotency_keys SET answer = '\"secret\"'",
        "UPDATE learners SET document = '\"secret\"'",
    ] {
        bench.change(statement).await;
    }
    let reasons = [
        damage(store.read(learner, Seq(0), 1).await),
        damage(store.journal(learner, 0, &[], 1).await),
        damage(store.version(learner, VersionId(1)).await),
        damage(store.checkpoint(learner).await),
        damage(store.append(vec![keyed(learner, "k", 1, vec![])]).await),
        damage(store.learner_by_id(learner).await),
    ];
    for reason in reasons {
        assert!(reason.contains("learner 1") && !reason.contains("secret"), "{reason}");
    }
}

pub(crate) async fn every_row_of_a_deleted_learner_goes_also_after_a_restart(bench: &dyn Tables) {
    let store = bench.open().await;
    let gone = learner(&*store, "gone").await.id;
    let stays = learner(&*store, "stays").await.id;
    for id in [gone, stays] {
        let examples = (0..600).map(|number| example(None, f64::from(number))).collect();
        append(&*store, keyed(id, "k", 1, examples)).await.unwrap();
        let fence = fence(&*store, id).await;
        publish(&*store, fence, 2, Cause::Trained).await;
        store.append_journal(fence, vec![JournalEvent::Pass { number: 1, until: Seq(1) }; 600]).await.unwrap();
        store.order_growth(id, &GrowthOrder::Auto).await.unwrap();
    }
    store.close().await;
    // What a process leaves that was killed right after it had marked the learner as deleted.
    for statement in [
        "INSERT INTO deleted_learners (learner_id) SELECT id FROM learners WHERE name = 'gone'",
        "DELETE FROM streams WHERE learner_id IN (SELECT learner_id FROM deleted_learners)",
        "DELETE FROM leases WHERE learner_id IN (SELECT learner_id FROM deleted_learners)",
        "DELETE FROM learners WHERE name = 'gone'",
    ] {
        bench.change(statement).await;
    }
    let store = bench.open().await;
    for (table, rows) in [
        ("SELECT COUNT(*) FROM learners", 1),
        ("SELECT COUNT(*) FROM streams", 1),
        ("SELECT COUNT(*) FROM leases", 1),
        ("SELECT COUNT(*) FROM examples", 600),
        ("SELECT COUNT(*) FROM idempotency_keys", 1),
        ("SELECT COUNT(*) FROM versions", 2),
        ("SELECT COUNT(*) FROM aliases", 1),
        ("SELECT COUNT(*) FROM checkpoints", 1),
        ("SELECT COUNT(*) FROM journal", 600),
        ("SELECT COUNT(*) FROM tickets", 1),
        ("SELECT COUNT(*) FROM deleted_learners", 0),
        ("SELECT COUNT(*) FROM blobs", 3),
        ("SELECT COUNT(*) FROM blob_parts", 3),
    ] {
        let start = Instant::now();
        while bench.count(table).await != rows {
            assert!(start.elapsed() < PATIENCE, "{table} is not {rows}");
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(store.head(stays).await.unwrap(), Seq(600));
}
