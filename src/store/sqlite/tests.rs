//! The suite over SQLite, and what only SQLite can show: foreign files, settings of connections, bytes of the file.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqliteConnection};
use tempfile::TempDir;

use super::SqliteStore;
use crate::registry::{AliasName, Cause, RegistryStore, VersionId};
use crate::store::StoreOptions;
use crate::store::suite::fixtures::{append, example, fence, learner, publish, request};
use crate::store::suite::{Bench, Tables, damage_suite, store_suite};
use crate::stream::{Append, ExampleName, Existing, Label, NewExample, Seq, StoreError, StreamStore, Value};
use crate::training::{Store, TrainingStore};

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

    async fn connect(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(self.path()).busy_timeout(Duration::from_secs(30));
        options.connect().await.unwrap()
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

#[async_trait]
impl Tables for Folder {
    async fn change(&self, statement: &str) {
        let mut connection = self.connect().await;
        let changed = sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
        assert!(changed.rows_affected() > 0, "{statement}");
        connection.close().await.unwrap();
    }

    async fn count(&self, query: &str) -> i64 {
        let query = format!("SELECT CAST(({query}) AS BIGINT)");
        let mut connection = self.connect().await;
        let count = sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(&mut connection).await.unwrap();
        // One that was only dropped may be open for a while: then the store's own is not the last to close the file.
        connection.close().await.unwrap();
        count
    }
}

store_suite!(Folder::new());
damage_suite!(Folder::new());

async fn change(store: &SqliteStore, statement: &'static str) {
    let mut transaction = store.write().await.unwrap();
    let changed = sqlx::query(statement).execute(&mut *transaction).await.unwrap();
    assert!(changed.rows_affected() > 0, "{statement}");
    transaction.commit().await.unwrap();
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
async fn a_full_database_says_so_stores_nothing_and_goes_on_once_there_is_room() {
    let folder = Folder::new();
    let store = folder.store().await;
    let learner = learner(&store, "a").await.id;
    store.append(vec![request(learner, vec![example(None, 1.0)])]).await.unwrap();
    let pages: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(&store.writer).await.unwrap();
    // The limit is one connection's: the store must not need a new one to be told by it again and again.
    let limit = format!("PRAGMA max_page_count = {pages}");
    let many = || vec![request(learner, (0..2_000).map(|number| example(None, f64::from(number))).collect())];
    for _ in 0..3 {
        sqlx::query(sqlx::AssertSqlSafe(limit.clone())).execute(&store.writer).await.unwrap();
        let refused = store.append(many()).await;
        assert!(matches!(refused, Err(StoreError::Full(_))), "{refused:?}");
        assert_eq!(store.head(learner).await.unwrap(), Seq(1));
    }
    let answers = store.append(many()).await.unwrap();
    assert_eq!(answers[0].as_ref().unwrap().first_seq, Some(Seq(2)), "no place was lost");
}

#[tokio::test]
async fn a_file_that_was_moved_takes_no_more_and_goes_on_when_it_is_back() {
    let folder = Folder::new();
    let store = folder.store().await;
    let learner = learner(&store, "a").await.id;
    let data = folder.path().parent().unwrap().to_owned();
    let away = data.with_file_name("away");
    let one = |number| vec![request(learner, vec![example(None, number)])];
    store.append(one(1.0)).await.unwrap();
    std::fs::rename(&data, &away).unwrap();
    for _ in 0..3 {
        let refused = store.append(one(2.0)).await;
        assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    }
    std::fs::create_dir(&data).unwrap();
    assert!(store.append(one(2.0)).await.is_err());
    assert!(!folder.path().exists(), "no empty database is made in its place");
    std::fs::remove_dir(&data).unwrap();
    std::fs::rename(&away, &data).unwrap();
    let answers = store.append(one(3.0)).await.unwrap();
    let head = answers[0].as_ref().unwrap().head_seq;
    store.close().await;
    assert_eq!(folder.store().await.head(learner).await.unwrap(), head, "what is answered is there after a restart");
}

#[tokio::test]
async fn a_damaged_page_is_told_from_a_database_that_does_not_answer() {
    let folder = Folder::new();
    let store = folder.store().await;
    let learner = learner(&store, "a").await.id;
    let examples = (0..2_000).map(|number| example(None, f64::from(number))).collect();
    store.append(vec![request(learner, examples)]).await.unwrap();
    let root = folder.count("SELECT rootpage FROM sqlite_schema WHERE name = 'examples'").await;
    let size = folder.count("SELECT page_size FROM pragma_page_size").await;
    store.close().await;
    let mut bytes = std::fs::read(folder.path()).unwrap();
    let start = usize::try_from((root - 1) * size).unwrap();
    bytes[start..start + usize::try_from(size).unwrap()].fill(0xA5);
    std::fs::write(folder.path(), bytes).unwrap();
    let store = folder.store().await;
    let read = store.read(learner, Seq(0), 10).await;
    assert!(matches!(read, Err(StoreError::Damaged(_))), "{read:?}");
    assert_eq!(store.head(learner).await.unwrap(), Seq(2_000), "the rest is read");
}

#[tokio::test]
async fn readers_cannot_write() {
    let folder = Folder::new();
    let store = folder.store().await;
    assert!(sqlx::query("DELETE FROM learners").execute(&store.readers).await.is_err());
}

#[tokio::test]
async fn a_database_that_is_opened_to_read_is_not_changed() {
    let folder = Folder::new();
    let missing = SqliteStore::open_to_read(&folder.path()).await.err().unwrap().to_string();
    assert!(missing.contains("there is no such file") && !folder.path().exists(), "{missing}");
    let store = folder.store().await;
    let digits = learner(&store, "digits").await.id;
    append(&store, request(digits, vec![example(None, 1.0)])).await.unwrap();
    let looking = SqliteStore::open_to_read(&folder.path()).await.unwrap();
    assert_eq!(StreamStore::read(&looking, digits, Seq(0), 10).await.unwrap().len(), 1);
    assert!(looking.acquire_lease(digits, "a trainer", time::Duration::MINUTE).await.is_err());
    assert!(looking.append(vec![request(digits, vec![example(None, 2.0)])]).await.is_err());
    append(&store, request(digits, vec![example(None, 3.0)])).await.unwrap();
    assert_eq!(looking.head(digits).await.unwrap(), Seq(2), "what a server commits meanwhile is seen");
    looking.close().await;
    change(
        &store,
        "UPDATE _sqlx_migrations SET version = 0 WHERE version = (SELECT MAX(version) FROM _sqlx_migrations)",
    )
    .await;
    store.close().await;
    let older = SqliteStore::open_to_read(&folder.path()).await.err().unwrap().to_string();
    assert!(older.contains("of an older version"), "{older}");
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
    assert!(reason.contains("newer version") && reason.contains("migration 9999"), "{reason}");
}

#[tokio::test]
async fn a_database_that_is_behind_is_refused_where_the_start_may_not_migrate_it() {
    let folder = Folder::new();
    std::fs::create_dir_all(folder.path().parent().unwrap()).unwrap();
    let options = StoreOptions { migrate: false, ..StoreOptions::default() };
    let refused = SqliteStore::open_with(&folder.path(), &options).await.err().unwrap().to_string();
    assert!(refused.contains("run `perennial migrate`") && refused.contains("pending: 1"), "{refused}");
    folder.store().await.close().await;
    SqliteStore::open_with(&folder.path(), &options).await.unwrap();
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

#[tokio::test]
async fn a_rest_folds_the_log_into_the_file_while_others_write() {
    let folder = Folder::new();
    let store = folder.store().await;
    let learner = learner(&store, "digits").await.id;
    let text = "a text that stands in the log first";
    let row = vec![Value::Category(text.into()), Value::Missing];
    append(&store, request(learner, vec![NewExample { row, ..example(None, 1.0) }])).await.unwrap();
    assert!(!stands_in(&folder.path(), text.as_bytes()));
    let transaction = store.write().await.unwrap();
    let rested = store.rest().await.unwrap();
    transaction.roll_back().await.unwrap();
    assert!(stands_in(&folder.path(), text.as_bytes()));
    assert!(rested.log_bytes > 0, "a small log keeps its room");
    store.close().await;
}
