//! The suite over SQLite, and what only SQLite can show: damaged bytes, foreign files, settings of connections.

use std::sync::Arc;

use async_trait::async_trait;
use tempfile::TempDir;

use super::SqliteStore;
use crate::registry::{AliasName, Cause, RegistryStore, Retention, VersionId};
use crate::store::blob_bytes::PART_BYTES;
use crate::store::suite::fixtures::{append, bare, checkpoint, example, fence, keyed, learner, publish, request};
use crate::store::suite::{Bench, store_suite};
use crate::stream::{Append, ExampleName, Existing, Label, NewExample, Seq, StoreError, StreamStore, Value};
use crate::training::{JournalEvent, Store, TrainingStore};

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> std::path::PathBuf {
        self.0.path().join("data").join("perennial.db")
    }

    async fn store(&self) -> SqliteStore {
        SqliteStore::open(&self.path()).await.unwrap()
    }

    async fn fails(&self) -> String {
        match SqliteStore::open(&self.path()).await {
            Err(StoreError::Unavailable(reason)) => reason,
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("the file was opened"),
        }
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
    let mut transaction = store.write().await.unwrap();
    let changed = sqlx::query(statement).execute(&mut *transaction).await.unwrap();
    assert!(changed.rows_affected() > 0, "{statement}");
    transaction.commit().await.unwrap();
}

async fn count(store: &SqliteStore, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(&store.readers).await.unwrap()
}

fn damage<T>(result: Result<T, StoreError>) -> String {
    match result {
        Err(StoreError::Damaged(reason)) => reason,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("the damage went unnoticed"),
    }
}

#[tokio::test]
async fn the_writer_syncs_at_every_commit() {
    let folder = Folder::new();
    let store = folder.store().await;
    let mut transaction = store.write().await.unwrap();
    let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous").fetch_one(&mut *transaction).await.unwrap();
    let journal: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut *transaction).await.unwrap();
    let keys: i64 = sqlx::query_scalar("PRAGMA foreign_keys").fetch_one(&mut *transaction).await.unwrap();
    assert_eq!((synchronous, journal.as_str(), keys), (2, "wal", 1));
    transaction.roll_back().await.unwrap();
}

#[tokio::test]
async fn readers_cannot_write() {
    let folder = Folder::new();
    let store = folder.store().await;
    assert!(sqlx::query("DELETE FROM learners").execute(&store.readers).await.is_err());
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let folder = Folder::new();
    std::fs::create_dir_all(folder.path().parent().unwrap()).unwrap();
    let text = "not a database, and long enough that its header can be read\n".repeat(40);
    std::fs::write(folder.path(), &text).unwrap();
    let reason = folder.fails().await;
    assert!(reason.contains("no SQLite database") && reason.contains("perennial.db"), "{reason}");
    assert_eq!(std::fs::read_to_string(folder.path()).unwrap(), text);
}

#[tokio::test]
async fn another_programs_database_is_refused_and_left_alone() {
    let folder = Folder::new();
    let store = folder.store().await;
    change(&store, "INSERT INTO streams (learner_id, head) VALUES (7, 7)").await;
    sqlx::query("PRAGMA application_id = 5").execute(&store.writer).await.unwrap();
    store.close().await;
    let before = std::fs::read(folder.path()).unwrap();
    let reason = folder.fails().await;
    assert!(reason.contains("another program"), "{reason}");
    assert!(std::fs::read(folder.path()).unwrap() == before);
}

#[tokio::test]
async fn a_newer_database_is_refused() {
    let folder = Folder::new();
    let store = folder.store().await;
    change(
        &store,
        "INSERT INTO _sqlx_migrations SELECT 9999, 'later', installed_on, success, checksum, execution_time
                    FROM _sqlx_migrations LIMIT 1",
    )
    .await;
    store.close().await;
    let reason = folder.fails().await;
    assert!(reason.contains("newer version"), "{reason}");
}

#[tokio::test]
async fn a_folder_in_the_place_of_the_file_is_refused() {
    let folder = Folder::new();
    std::fs::create_dir_all(folder.path()).unwrap();
    assert!(folder.fails().await.contains("perennial.db"));
}

#[tokio::test]
async fn a_transaction_that_is_dropped_never_was_and_the_next_one_works() {
    let folder = Folder::new();
    let store = folder.store().await;
    let learner = learner(&store, "digits").await.id;
    let mut transaction = store.write().await.unwrap();
    sqlx::query("UPDATE streams SET head = 99").execute(&mut *transaction).await.unwrap();
    drop(transaction);
    assert_eq!(append(&store, request(learner, vec![example(None, 1.0)])).await.unwrap().head_seq, Seq(1));
}

#[tokio::test]
async fn parts_hold_at_most_four_mebibytes() {
    let folder = Folder::new();
    let store = folder.store().await;
    store.put_blob(&vec![7; 2 * PART_BYTES + 1]).await.unwrap();
    assert_eq!(count(&store, "SELECT MAX(length(bytes)) FROM blob_parts").await, 4 << 20);
    assert_eq!(count(&store, "SELECT COUNT(*) FROM blob_parts").await, 3);
}

#[tokio::test]
async fn a_damaged_blob_is_detected() {
    let folder = Folder::new();
    let store = folder.store().await;
    let digest = store.put_blob(b"the weights").await.unwrap();
    change(&store, "UPDATE blob_parts SET bytes = CAST('the Weights' AS BLOB)").await;
    assert!(damage(store.get_blob(digest).await).contains(&digest.to_hex()));
    change(&store, "UPDATE blob_parts SET bytes = CAST('the weight' AS BLOB)").await;
    damage(store.get_blob(digest).await);
    change(&store, "DELETE FROM blob_parts").await;
    damage(store.get_blob(digest).await);
}

#[tokio::test]
async fn a_put_that_was_broken_off_is_never_seen_and_swept_after_an_hour() {
    let folder = Folder::new();
    let store = folder.store().await;
    let learner = learner(&store, "digits").await.id;
    let digest = store.put_blob(b"half of it").await.unwrap();
    change(&store, "UPDATE blobs SET complete = 0, claims = 0 WHERE claims = 1").await;
    assert_eq!(store.get_blob(digest).await.unwrap(), None);
    let rows = "SELECT COUNT(*) FROM blobs WHERE complete = 0";
    store.sweep_weights(learner, &Retention::newest(1)).await.unwrap();
    assert_eq!(count(&store, rows).await, 1);
    assert_eq!(store.put_blob(b"half of it").await.unwrap(), digest);
    assert_eq!(store.get_blob(digest).await.unwrap().unwrap(), b"half of it");
    change(&store, "UPDATE blobs SET touched_at = touched_at - 3601000000 WHERE complete = 0").await;
    store.sweep_weights(learner, &Retention::newest(1)).await.unwrap();
    assert_eq!(count(&store, rows).await, 0);
    assert_eq!(count(&store, "SELECT COUNT(*) FROM blob_parts WHERE blob_id NOT IN (SELECT id FROM blobs)").await, 0);
    assert!(store.get_blob(digest).await.unwrap().is_some());
}

#[tokio::test]
async fn a_claim_whose_process_died_ends_after_an_hour() {
    let folder = Folder::new();
    let store = folder.store().await;
    let learner = learner(&store, "digits").await.id;
    let digest = store.put_blob(b"never named").await.unwrap();
    store.sweep_weights(learner, &Retention::newest(1)).await.unwrap();
    assert!(store.get_blob(digest).await.unwrap().is_some());
    change(&store, "UPDATE blobs SET touched_at = touched_at - 3601000000").await;
    store.sweep_weights(learner, &Retention::newest(1)).await.unwrap();
    assert!(store.get_blob(digest).await.unwrap().is_none());
    let checkpoint = store.checkpoint(learner).await.unwrap().unwrap();
    assert!(store.get_blob(checkpoint.weights).await.unwrap().is_some(), "what is named stays, however old");
    assert!(store.get_blob(checkpoint.optimizer).await.unwrap().is_some());
}

#[tokio::test]
async fn no_row_ever_names_an_incomplete_blob() {
    let folder = Folder::new();
    let store = folder.store().await;
    let learner = learner(&store, "digits").await.id;
    let fence = fence(&store, learner).await;
    let next = checkpoint(&store, 1, b"next").await;
    change(&store, "UPDATE blobs SET complete = 0 WHERE claims = 1").await;
    assert!(matches!(store.commit(fence, bare(next.clone())).await, Err(StoreError::Unavailable(_))));
    checkpoint(&store, 1, b"next").await;
    store.commit(fence, bare(next)).await.unwrap();
}

#[tokio::test]
async fn damaged_rows_are_named_and_not_quoted() {
    let folder = Folder::new();
    let store = folder.store().await;
    let learner = learner(&store, "digits").await.id;
    let fence = fence(&store, learner).await;
    append(&store, keyed(learner, "k", 1, vec![example(None, 1.0)])).await.unwrap();
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
        change(&store, statement).await;
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

#[tokio::test]
async fn every_row_of_a_deleted_learner_goes_also_after_a_restart() {
    let folder = Folder::new();
    let store = folder.store().await;
    let gone = learner(&store, "gone").await.id;
    let stays = learner(&store, "stays").await.id;
    for id in [gone, stays] {
        let examples = (0..600).map(|number| example(None, f64::from(number))).collect();
        append(&store, keyed(id, "k", 1, examples)).await.unwrap();
        let fence = fence(&store, id).await;
        publish(&store, fence, 2, Cause::Trained).await;
        store.append_journal(fence, vec![JournalEvent::Pass { number: 1, until: Seq(1) }; 600]).await.unwrap();
        store.order_growth(id, &crate::training::GrowthOrder::Auto).await.unwrap();
    }
    assert!(store.mark_deleted(gone).await.unwrap());
    store.close().await;
    let store = folder.store().await;
    store.delete_marked().await.unwrap();
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
        assert_eq!(count(&store, table).await, rows, "{table}");
    }
    assert_eq!(store.head(stays).await.unwrap(), Seq(600));
}

/// Takes a new database back to the tables from before aliases had histories.
const BEFORE_HISTORIES: [&str; 7] = [
    "DROP TABLE alias_history",
    "DROP INDEX journal_growths",
    "ALTER TABLE aliases DROP COLUMN generation",
    "ALTER TABLE aliases DROP COLUMN pinned",
    "ALTER TABLE aliases DROP COLUMN waiting",
    "ALTER TABLE checkpoints DROP COLUMN accepted",
    "DELETE FROM _sqlx_migrations WHERE version = 3",
];

#[tokio::test]
async fn live_of_an_old_database_gets_its_first_generation_and_is_what_the_trainer_accepted() {
    let folder = Folder::new();
    let store = folder.store().await;
    let learner = learner(&store, "digits").await.id;
    let fence = fence(&store, learner).await;
    publish(&store, fence, 2, Cause::Trained).await;
    for statement in BEFORE_HISTORIES {
        sqlx::query(statement).execute(&store.writer).await.unwrap();
    }
    store.close().await;
    let store = folder.store().await;
    let live = store.alias_state(learner, &AliasName::live()).await.unwrap().unwrap();
    assert_eq!((live.version, live.generation, live.pinned, live.waiting), (VersionId(2), 1, false, None));
    let version = store.version(learner, VersionId(2)).await.unwrap().unwrap();
    assert_eq!(live.changed_at, version.created_at);
    assert_eq!(store.checkpoint(learner).await.unwrap().unwrap().accepted, VersionId(2));
    publish(&store, fence, 3, Cause::Trained).await;
    let history = store.alias_history(learner, &AliasName::live(), 0, 10).await.unwrap();
    let moves: Vec<_> = history.iter().map(|change| (change.generation, change.from, change.to)).collect();
    assert_eq!(moves, [(1, None, Some(VersionId(2))), (2, Some(VersionId(2)), Some(VersionId(3)))]);
}

/// Whether these bytes stand anywhere in the file, whatever the tables say.
fn stands_in(file: &std::path::Path, bytes: &[u8]) -> bool {
    std::fs::read(file).unwrap().windows(bytes.len()).any(|window| window == bytes)
}

#[tokio::test]
async fn deleted_and_replaced_values_are_gone_from_the_file() {
    let folder = Folder::new();
    let store = folder.store().await;
    let learner = learner(&store, "digits").await.id;
    // One row within its page, one that fills several pages of its own.
    let secret = |number: usize, size: usize| NewExample {
        id: Some(format!("{number}")),
        row: vec![Value::Category(format!("a secret value {number} ").repeat(size))],
        label: Label::Class(format!("a secret label {number} ")),
    };
    let examples = vec![secret(1, 3), secret(2, 2_000), secret(3, 3), secret(4, 2_000), secret(5, 3)];
    append(&store, request(learner, examples)).await.unwrap();
    store.delete_example(learner, &ExampleName::Id("1".into())).await.unwrap();
    store.delete_example(learner, &ExampleName::Id("2".into())).await.unwrap();
    let replacements = ["3", "4"].map(|id| example(Some(id), 7.0)).to_vec();
    let replace = Append { existing: Existing::Replace, ..request(learner, replacements) };
    append(&store, replace).await.unwrap();
    let mut transaction = store.write().await.unwrap();
    let secure: i64 = sqlx::query_scalar("PRAGMA secure_delete").fetch_one(&mut *transaction).await.unwrap();
    assert_eq!(secure, 0, "what else is deleted is not overwritten");
    transaction.roll_back().await.unwrap();
    store.close().await;
    assert!(!folder.path().with_extension("db-wal").exists(), "the log is folded into the file");
    for number in 1..=5 {
        for what in ["value", "label"] {
            let found = stands_in(&folder.path(), format!("a secret {what} {number} ").as_bytes());
            assert_eq!(found, number == 5, "{what} {number}");
        }
    }
}
