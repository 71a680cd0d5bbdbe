//! Claims about leases, commits, the journal and growth orders.

use serde_json::json;
use time::Duration;

use super::Bench;
use super::fixtures::{append, bare, checkpoint, document, example, fence, learner, publish, request, version};
use crate::growth::Refusal;
use crate::registry::{BlobDigest, Cause, VersionId};
use crate::stream::{Feature, FeatureKind, LearnerId, Schema, Seq, StoreError};
use crate::training::store::TicketOutcome;
use crate::training::{Commit, Fence, GrowthOrder, JournalEvent, Store, TicketState, Trigger};

fn round(last: u64) -> JournalEvent {
    JournalEvent::Round { first: Seq(last), last: Seq(last) }
}

fn pass(number: u32) -> JournalEvent {
    JournalEvent::Pass { number, until: Seq(1) }
}

/// Everything that a commit could change, as text.
async fn seen(store: &dyn Store, learner: LearnerId) -> String {
    let checkpoint = store.checkpoint(learner).await.unwrap();
    let versions = store.versions(learner, VersionId(0), 100).await.unwrap();
    let live = store.alias(learner, "live").await.unwrap();
    let journal = store.journal(learner, 0, &[], 100).await.unwrap();
    let ticket = store.next_ticket(learner).await.unwrap();
    let schema = store.learner_by_id(learner).await.unwrap().map(|record| record.document.schema);
    format!("{checkpoint:?} {versions:?} {live:?} {journal:?} {ticket:?} {schema:?}")
}

/// The schema of the learners here with one feature more.
fn wider_schema() -> Schema {
    document("digits").schema.with(&[Feature::new("c", FeatureKind::Vector { size: 2 })])
}

/// A commit that changes all of it.
async fn full(store: &dyn Store, number: u64, ticket: u64) -> Commit {
    Commit {
        checkpoint: checkpoint(store, number, b"new").await,
        versions: vec![version(store, number, Cause::Trained, b"new").await],
        live: Some(VersionId(number)),
        journal: vec![round(number)],
        tickets: vec![TicketOutcome {
            id: ticket,
            state: TicketState::Failed,
            event: None,
            refusal: None,
            failure: Some("the certificate could not be computed".into()),
        }],
        schema: Some(wider_schema()),
    }
}

pub(crate) async fn a_lease_is_held_by_one_owner_at_a_time(bench: &dyn Bench) {
    let store = bench.open().await;
    let learner = learner(&*store, "digits").await.id;
    let held = store.acquire_lease(learner, "one", Duration::MINUTE).await.unwrap().unwrap();
    assert_eq!(store.acquire_lease(learner, "two", Duration::MINUTE).await.unwrap(), None);
    store.renew_lease(held, Duration::HOUR).await.unwrap();
    store.release_lease(held).await.unwrap();
    let next = store.acquire_lease(learner, "two", Duration::MINUTE).await.unwrap().unwrap();
    assert!(next.token > held.token);
    assert!(matches!(store.renew_lease(held, Duration::HOUR).await, Err(StoreError::LeaseLost)));
    store.release_lease(held).await.unwrap();
    store.renew_lease(next, Duration::HOUR).await.unwrap();
    assert_eq!(store.acquire_lease(LearnerId(learner.0 + 1), "one", Duration::HOUR).await.unwrap(), None);
}

pub(crate) async fn an_expired_lease_can_be_taken(bench: &dyn Bench) {
    let store = bench.open().await;
    let learner = learner(&*store, "digits").await.id;
    let held = store.acquire_lease(learner, "one", Duration::MINUTE).await.unwrap().unwrap();
    store.renew_lease(held, Duration::ZERO).await.unwrap();
    assert_eq!(store.append_journal(held, vec![round(1)]).await.unwrap(), 1, "nobody took it: it is still held");
    assert!(store.acquire_lease(learner, "two", Duration::MINUTE).await.unwrap().is_some());
    assert!(matches!(store.append_journal(held, vec![round(2)]).await, Err(StoreError::LeaseLost)));
}

pub(crate) async fn tokens_grow_with_every_holder(bench: &dyn Bench) {
    let store = bench.open().await;
    let learner = learner(&*store, "digits").await.id;
    let mut last = 0;
    for _ in 0..3 {
        let own = store.acquire_lease(learner, "one", Duration::MINUTE).await.unwrap().unwrap();
        assert!(own.token > last, "the owner's own lease can be taken again, under a new token");
        last = own.token;
    }
    store.release_lease(Fence { learner, token: last }).await.unwrap();
    store.close().await;
    let store = bench.open().await;
    assert!(store.acquire_lease(learner, "one", Duration::MINUTE).await.unwrap().unwrap().token > last);
}

pub(crate) async fn a_stale_fence_writes_nothing(bench: &dyn Bench) {
    let store = bench.open().await;
    let learner = learner(&*store, "digits").await.id;
    let ticket = store.order_growth(learner, &GrowthOrder::Auto).await.unwrap().id;
    let stale = fence(&*store, learner).await;
    let held = fence(&*store, learner).await;
    let before = seen(&*store, learner).await;
    let commit = full(&*store, 2, ticket).await;
    for wrong in [stale, Fence { token: held.token + 1, ..held }] {
        assert!(matches!(store.commit(wrong, commit.clone()).await, Err(StoreError::LeaseLost)));
        assert!(matches!(store.append_journal(wrong, vec![round(1)]).await, Err(StoreError::LeaseLost)));
        assert!(matches!(store.renew_lease(wrong, Duration::HOUR).await, Err(StoreError::LeaseLost)));
        store.release_lease(wrong).await.unwrap();
    }
    assert_eq!(seen(&*store, learner).await, before);
    store.commit(held, commit).await.unwrap();
}

pub(crate) async fn a_lease_that_was_given_back_writes_nothing(bench: &dyn Bench) {
    let store = bench.open().await;
    let learner = learner(&*store, "digits").await.id;
    let held = fence(&*store, learner).await;
    store.release_lease(held).await.unwrap();
    assert!(matches!(store.append_journal(held, vec![round(1)]).await, Err(StoreError::LeaseLost)));
    assert!(matches!(store.renew_lease(held, Duration::HOUR).await, Err(StoreError::LeaseLost)));
}

pub(crate) async fn a_commit_is_visible_whole_after_reopening(bench: &dyn Bench) {
    let store = bench.open().await;
    let learner = learner(&*store, "digits").await.id;
    let fence = fence(&*store, learner).await;
    let ticket = store.order_growth(learner, &GrowthOrder::Auto).await.unwrap().id;
    let commit = full(&*store, 2, ticket).await;
    store.commit(fence, commit.clone()).await.unwrap();
    let before = seen(&*store, learner).await;
    store.close().await;
    let store = bench.open().await;
    assert_eq!(seen(&*store, learner).await, before);
    assert_eq!(store.checkpoint(learner).await.unwrap(), Some(commit.checkpoint));
    assert_eq!(store.alias(learner, "live").await.unwrap(), Some(VersionId(2)));
    assert_eq!(store.get_blob(commit.versions[0].digest).await.unwrap().unwrap(), b"new");
    assert_eq!(store.journal(learner, 0, &[], 10).await.unwrap()[0].event, round(2));
    assert_eq!(store.ticket(learner, ticket).await.unwrap().unwrap().state, TicketState::Failed);
    assert_eq!(store.learner_by_id(learner).await.unwrap().unwrap().document.schema, wider_schema());
}

pub(crate) async fn features_come_with_a_commit_and_no_settings_take_them_away(bench: &dyn Bench) {
    let store = bench.open().await;
    let created = learner(&*store, "digits").await;
    let fence = fence(&*store, created.id).await;
    let mut commit = bare(checkpoint(&*store, 1, b"first weights of digits").await);
    commit.schema = Some(wider_schema());
    store.commit(fence, commit).await.unwrap();
    // These settings were read before the growth and are written after it.
    let mut settings = created.document.clone();
    settings.training.learning_rate = 0.1;
    let changed = store.update_learner(created.id, created.revision, &settings).await.unwrap().unwrap();
    assert_eq!((changed.revision, changed.document.training.learning_rate), (2, 0.1));
    assert_eq!(changed.document.schema, wider_schema());
    assert_eq!(store.learner_by_id(created.id).await.unwrap(), Some(changed));
    store.commit(fence, bare(checkpoint(&*store, 1, b"next").await)).await.unwrap();
    let after = store.learner_by_id(created.id).await.unwrap().unwrap();
    assert_eq!(after.document.schema, wider_schema(), "a commit that says nothing of the schema leaves it");
}

async fn refused(store: &dyn Store, fence: Fence, commit: Commit) {
    let before = seen(store, fence.learner).await;
    assert!(matches!(store.commit(fence, commit).await, Err(StoreError::Unavailable(_))));
    assert_eq!(seen(store, fence.learner).await, before);
    assert_eq!(append(store, request(fence.learner, vec![example(None, 1.0)])).await.unwrap().accepted, 1);
}

pub(crate) async fn a_commit_that_names_a_missing_blob_changes_nothing(bench: &dyn Bench) {
    let store = bench.open().await;
    let learner = learner(&*store, "digits").await.id;
    let fence = fence(&*store, learner).await;
    let ticket = store.order_growth(learner, &GrowthOrder::Auto).await.unwrap().id;
    let nowhere = BlobDigest::of(b"nowhere");
    let whole = full(&*store, 2, ticket).await;
    let mut without = whole.clone();
    without.versions[0].digest = nowhere;
    refused(&*store, fence, without).await;
    let mut without = whole.clone();
    without.checkpoint.weights = nowhere;
    refused(&*store, fence, without).await;
    let mut without = whole.clone();
    without.checkpoint.optimizer = nowhere;
    refused(&*store, fence, without).await;
    store.commit(fence, whole).await.unwrap();
}

pub(crate) async fn a_commit_whose_version_is_taken_changes_nothing(bench: &dyn Bench) {
    let store = bench.open().await;
    let learner = learner(&*store, "digits").await.id;
    let fence = fence(&*store, learner).await;
    let ticket = store.order_growth(learner, &GrowthOrder::Auto).await.unwrap().id;
    let mut commit = full(&*store, 2, ticket).await;
    commit.versions.push(commit.versions[0].clone());
    refused(&*store, fence, commit).await;
}

pub(crate) async fn a_commit_to_a_missing_live_version_changes_nothing(bench: &dyn Bench) {
    let store = bench.open().await;
    let learner = learner(&*store, "digits").await.id;
    let fence = fence(&*store, learner).await;
    let ticket = store.order_growth(learner, &GrowthOrder::Auto).await.unwrap().id;
    let mut commit = full(&*store, 2, ticket).await;
    commit.live = Some(VersionId(3));
    refused(&*store, fence, commit).await;
}

pub(crate) async fn a_replaced_checkpoint_takes_its_blobs_with_it(bench: &dyn Bench) {
    let store = bench.open().await;
    let learner = learner(&*store, "digits").await.id;
    let fence = fence(&*store, learner).await;
    let first = store.checkpoint(learner).await.unwrap().unwrap();
    let second = checkpoint(&*store, 1, b"second").await;
    store.commit(fence, bare(second.clone())).await.unwrap();
    assert!(store.get_blob(first.optimizer).await.unwrap().is_none());
    assert!(store.get_blob(first.weights).await.unwrap().is_some(), "version 1 names it");
    let mut third = second.clone();
    third.position += 1;
    store.commit(fence, bare(third.clone())).await.unwrap();
    assert_eq!(store.checkpoint(learner).await.unwrap(), Some(third), "the same blobs may be named again");
    assert!(store.get_blob(second.optimizer).await.unwrap().is_some());
}

pub(crate) async fn numbers_of_a_checkpoint_come_back_to_the_last_bit(bench: &dyn Bench) {
    let store = bench.open().await;
    let learner = learner(&*store, "digits").await.id;
    let fence = fence(&*store, learner).await;
    // Shortest decimal texts that a careless reader takes for the neighbouring number.
    let numbers: Vec<f64> = (0..2_000u64)
        .map(|index| f64::from_bits(0x3ff0_0000_0000_0000 ^ index.wrapping_mul(0x0009_e377_9b97_f4a7) >> 1))
        .filter(|number| number.is_finite())
        .collect();
    let mut next = checkpoint(&*store, 1, b"next").await;
    next.progress = json!({ "numbers": numbers });
    store.commit(fence, bare(next)).await.unwrap();
    let read = store.checkpoint(learner).await.unwrap().unwrap();
    let read = read.progress["numbers"].as_array().unwrap();
    assert_eq!(read.len(), numbers.len());
    let changed =
        numbers.iter().zip(read).filter(|(number, read)| read.as_f64().unwrap().to_bits() != number.to_bits()).count();
    assert_eq!(changed, 0, "serde_json needs its feature `float_roundtrip`");
}

pub(crate) async fn journal_positions_are_dense(bench: &dyn Bench) {
    let store = bench.open().await;
    let learner = learner(&*store, "digits").await.id;
    let fence = fence(&*store, learner).await;
    assert_eq!(store.append_journal(fence, vec![]).await.unwrap(), 0);
    assert_eq!(store.append_journal(fence, vec![round(1), pass(1)]).await.unwrap(), 2);
    let mut commit = bare(checkpoint(&*store, 1, b"next").await);
    commit.journal = vec![pass(2)];
    store.commit(fence, commit).await.unwrap();
    store.close().await;
    let store = bench.open().await;
    assert_eq!(store.append_journal(fence, vec![round(2)]).await.unwrap(), 4);
    let journal = store.journal(learner, 0, &[], 10).await.unwrap();
    let places: Vec<u64> = journal.iter().map(|record| record.position).collect();
    let events: Vec<JournalEvent> = journal.into_iter().map(|record| record.event).collect();
    assert_eq!((places, events), (vec![1, 2, 3, 4], vec![round(1), pass(1), pass(2), round(2)]));
}

pub(crate) async fn the_journal_is_filtered_by_kind_in_order(bench: &dyn Bench) {
    let store = bench.open().await;
    let learner = learner(&*store, "digits").await.id;
    let fence = fence(&*store, learner).await;
    publish(&*store, fence, 2, Cause::Trained).await;
    let refused = JournalEvent::Refused {
        seq: Seq(1),
        op: None,
        trigger: Trigger::Manual,
        ticket: Some(1),
        refusal: Refusal::Budget { parameters: 11, limit: 10 },
    };
    let events = vec![round(1), pass(1), round(2), refused.clone(), round(3), pass(2)];
    store.append_journal(fence, events).await.unwrap();
    let find = async |after, kinds: &[&str], limit| -> Vec<u64> {
        let journal = store.journal(learner, after, kinds, limit).await.unwrap();
        journal.iter().map(|record| record.position).collect()
    };
    assert_eq!(find(0, &["round"], 10).await, [1, 3, 5]);
    assert_eq!(find(1, &["round"], 1).await, [3]);
    assert_eq!(find(0, &["pass", "round", "pass"], 4).await, [1, 2, 3, 5]);
    assert_eq!(find(4, &["refused", "pass"], 4).await, [6]);
    assert_eq!(find(3, &[], 2).await, [4, 5]);
    assert!(find(0, &["grown"], 4).await.is_empty());
    assert_eq!(store.journal(learner, 3, &["refused"], 1).await.unwrap()[0].event, refused);
}

pub(crate) async fn tickets_are_taken_in_order_and_keep_their_outcome(bench: &dyn Bench) {
    let store = bench.open().await;
    let learner = learner(&*store, "digits").await.id;
    let fence = fence(&*store, learner).await;
    assert_eq!(store.next_ticket(learner).await.unwrap(), None);
    let classes = GrowthOrder::Classes { classes: vec!["maybe".into()] };
    let first = store.order_growth(learner, &GrowthOrder::Auto).await.unwrap();
    let second = store.order_growth(learner, &classes).await.unwrap();
    assert_eq!((first.id, second.id, second.state), (1, 2, TicketState::Planned));
    assert_eq!(store.next_ticket(learner).await.unwrap(), Some(first.clone()));
    let refusal = Refusal::Request { reason: "nothing can grow".into() };
    let outcome = TicketOutcome {
        id: 1,
        state: TicketState::Refused,
        event: None,
        refusal: Some(refusal.clone()),
        failure: None,
    };
    let mut commit = bare(checkpoint(&*store, 1, b"next").await);
    commit.tickets = vec![outcome.clone(), TicketOutcome { state: TicketState::Failed, ..outcome }];
    store.commit(fence, commit).await.unwrap();
    let done = store.ticket(learner, 1).await.unwrap().unwrap();
    assert_eq!((done.state, done.refusal, done.failure), (TicketState::Refused, Some(refusal), None));
    assert_eq!((done.order, done.created_at), (GrowthOrder::Auto, first.created_at));
    assert_eq!(store.next_ticket(learner).await.unwrap(), Some(second));
    assert_eq!(store.ticket(learner, 3).await.unwrap(), None);
}
