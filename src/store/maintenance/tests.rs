//! Backups, restores and verifications of databases that live.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;

use super::database::{Purpose, close};
use super::raw::Cells;
use super::*;
use crate::registry::{Cause, RegistryStore};
use crate::store::postgres::tests::server;
use crate::store::suite::fixtures::{append, example, fence, keyed, learner, publish, request};
use crate::store::{PostgresOptions, PostgresStore, SqliteStore, StoreOptions};
use crate::stream::{ExampleName, LearnerId, Seq};
use crate::training::{GrowthOrder, JournalEvent, Store, TrainingStore};

fn verifier(depth: Depth) -> Verifier<'static> {
    // The suite's weights are no network's.
    Verifier { depth, loads: &|_, _| Ok(()), progress: &|_, _| {} }
}

async fn sound(database: &Database) -> Report {
    let report = verify(database, verifier(Depth::Deep)).await.unwrap();
    assert!(report.faults.is_empty(), "{:#?}", report.faults);
    report
}

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn database(&self, name: &str) -> Database {
        Database::Sqlite(self.path(name))
    }

    async fn store(&self, name: &str, options: &StoreOptions) -> SqliteStore {
        SqliteStore::open_with(&self.path(name), options).await.unwrap()
    }
}

/// Two learners with everything that a learner can have, and one that was deleted.
async fn live(store: &dyn Store) -> [LearnerId; 2] {
    let mut learners = Vec::new();
    for name in ["digits", "prices"] {
        let learner = learner(store, name).await.id;
        let ids: Vec<String> = (0..40).map(|number| format!("{name}-{number}")).collect();
        let examples = ids.iter().zip(0..).map(|(id, number)| example(Some(id), f64::from(number))).collect();
        append(store, keyed(learner, "first", 1, examples)).await.unwrap();
        append(store, request(learner, (0..20).map(|number| example(None, f64::from(number))).collect()))
            .await
            .unwrap();
        let fence = fence(store, learner).await;
        store.append_journal(fence, vec![JournalEvent::Pass { number: 1, until: Seq(1) }; 5]).await.unwrap();
        publish(store, fence, 2, Cause::Trained).await;
        publish(store, fence, 3, Cause::Trained).await;
        store.order_growth(learner, &GrowthOrder::Auto).await.unwrap();
        store.delete_example(learner, &ExampleName::Seq(Seq(12))).await.unwrap();
        learners.push(learner);
    }
    let gone = learner(store, "gone").await.id;
    assert!(store.delete_learner(gone).await.unwrap());
    learners.try_into().unwrap()
}

/// Waits until the rows of deleted learners are gone, and the bytes of their blobs.
async fn settled(database: &Database) {
    let mut connection = database.connect(Purpose::Read).await.unwrap();
    let left = "SELECT (SELECT COUNT(*) FROM deleted_learners) + (SELECT COUNT(*) FROM blob_parts
                WHERE NOT EXISTS (SELECT 1 FROM blobs JOIN versions ON versions.digest = blobs.digest WHERE blobs.id = blob_id)
                AND NOT EXISTS (SELECT 1 FROM blobs JOIN checkpoints ON optimizer = digest WHERE blobs.id = blob_id))";
    while connection.integer(left, &[]).await.unwrap() > 0 {
        tokio::task::yield_now().await;
    }
    close(connection).await;
}

/// Every row of every table but the leases.
async fn contents(database: &Database) -> Vec<(String, Vec<Cells>)> {
    let mut connection = database.connect(Purpose::Read).await.unwrap();
    let mut found = Vec::new();
    for table in tables::known().await.unwrap() {
        if table.name != "leases" {
            found.push((table.name.clone(), connection.rows(&table.select(), &[]).await.unwrap()));
        }
    }
    close(connection).await;
    found
}

#[tokio::test]
async fn a_restored_backup_is_the_same_row_by_row_and_goes_on_where_it_stood() {
    let folder = Folder::new();
    let store = folder.store("old.db", &StoreOptions::default()).await;
    let [digits, _] = live(&store).await;
    settled(&folder.database("old.db")).await;
    let file = folder.path("backup.db");
    let report = backup(&folder.database("old.db"), &file, Existing::Refuse, verifier(Depth::Deep)).await.unwrap();
    assert_eq!(report.verified.unwrap().learners.len(), 2);
    let restored = restore(&file, &folder.database("new.db"), verifier(Depth::Deep)).await.unwrap();
    assert!(restored.rows > 120, "{restored:?}");
    assert_eq!(contents(&folder.database("old.db")).await, contents(&folder.database("new.db")).await);

    let fence_then = fence(&store, digits).await;
    let new = folder.store("new.db", &StoreOptions::default()).await;
    let fence_now = new.acquire_lease(digits, "another", time::Duration::MINUTE).await.unwrap().expect("it is free");
    assert!(fence_now.token > fence_then.token + 1_000_000);
    let stale = new.append_journal(fence_then, vec![]).await;
    assert!(matches!(stale, Err(StoreError::LeaseLost)), "{stale:?}");
    let answer = append(&new, keyed(digits, "first", 1, vec![])).await.unwrap();
    assert_eq!((answer.accepted, answer.last_seq), (40, Some(Seq(40))), "the first answer under a key");
    assert_eq!(append(&new, request(digits, vec![example(None, 1.0)])).await.unwrap().first_seq, Some(Seq(61)));
    assert_eq!(learner(&new, "another").await.id, LearnerId(4), "3 was the deleted learner's");
}

#[tokio::test]
async fn a_backup_holds_the_weights_that_lie_in_an_object_store() {
    let folder = Folder::new();
    let options = StoreOptions { blobs: folder.path("blobs").display().to_string(), ..StoreOptions::default() };
    let store = folder.store("old.db", &options).await;
    let [digits, _] = live(&store).await;
    let digest = store.version(digits, crate::registry::VersionId(3)).await.unwrap().unwrap().digest;
    sound(&folder.database("old.db")).await;
    let file = folder.path("backup.db");
    let report = backup(&folder.database("old.db"), &file, Existing::Refuse, verifier(Depth::Deep)).await.unwrap();
    assert!(report.verified.unwrap().blobs >= 6);
    let refused = restore(&folder.path("old.db"), &folder.database("raw.db"), verifier(Depth::Usual)).await;
    assert!(refused.unwrap_err().to_string().contains("object store"), "a copied file would lack its weights");
    std::fs::remove_dir_all(folder.path("blobs")).unwrap();
    restore(&file, &folder.database("new.db"), verifier(Depth::Usual)).await.unwrap();
    let new = folder.store("new.db", &StoreOptions::default()).await;
    assert_eq!(new.get_blob(digest).await.unwrap(), Some(b"weights 3 of learner 1".to_vec()));
    let faults = verify(&folder.database("old.db"), verifier(Depth::Usual)).await.unwrap().faults;
    assert!(faults.iter().any(|fault| fault.contains("has no object")), "{faults:?}");
}

/// Backs a database up again and again while examples are written.
async fn back_up_under_load(store: Arc<dyn Store>, database: &Database, folder: &Folder) {
    let [digits, _] = live(&*store).await;
    let writer = store.clone();
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let writing = tokio::spawn(async move {
        let mut acked = 0;
        while stopped.try_recv().is_err() {
            acked = append(&*writer, request(digits, vec![example(None, 1.0); 7])).await.unwrap().head_seq.0;
        }
        acked
    });
    let mut backups = Vec::new();
    for number in 0..5 {
        let acked = store.head(digits).await.unwrap().0;
        let file = folder.path(&format!("backup-{number}.db"));
        let report = backup(database, &file, Existing::Refuse, verifier(Depth::Usual)).await.unwrap();
        let head = report.verified.unwrap().learners[0].head_seq;
        assert!(head >= acked as i64, "what was acknowledged before the backup began is in it");
        assert_eq!((head - 60) % 7, 0, "a request is in it whole or not at all");
        backups.push(head);
    }
    stop.send(()).unwrap();
    let acked = writing.await.unwrap();
    assert!(backups.is_sorted() && backups[4] <= acked as i64, "{backups:?} {acked}");
}

#[tokio::test]
async fn a_backup_is_one_moment_of_a_database_that_is_written_to() {
    let folder = Folder::new();
    let store = folder.store("old.db", &StoreOptions::default()).await;
    back_up_under_load(Arc::new(store), &folder.database("old.db"), &folder).await;
}

#[tokio::test]
async fn a_backup_of_postgres_is_one_moment_too() {
    let Some(server) = server::shared() else { return };
    let there = server::Database::new(server);
    let options = PostgresOptions::parse(&there.url()).unwrap();
    let store = PostgresStore::open(&options).await.unwrap();
    back_up_under_load(Arc::new(store), &Database::Postgres(Box::new(options)), &Folder::new()).await;
}

#[tokio::test]
async fn a_database_goes_from_sqlite_to_postgres_and_back_row_by_row() {
    let Some(server) = server::shared() else { return };
    let there = server::Database::new(server);
    let options = PostgresOptions::parse(&there.url()).unwrap();
    let postgres = Database::Postgres(Box::new(options.clone()));
    let folder = Folder::new();
    let store = folder.store("old.db", &StoreOptions::default()).await;
    let [digits, _] = live(&store).await;
    settled(&folder.database("old.db")).await;
    let (first, second) = (folder.path("first.db"), folder.path("second.db"));
    backup(&folder.database("old.db"), &first, Existing::Refuse, verifier(Depth::Deep)).await.unwrap();
    assert!(postgres.migrations().await.unwrap().applied.is_empty());
    restore(&first, &postgres, verifier(Depth::Deep)).await.unwrap();
    assert!(postgres.migrations().await.unwrap().pending.is_empty());
    let again = restore(&first, &postgres, verifier(Depth::Deep)).await.unwrap_err().to_string();
    assert!(again.contains("2 learners"), "{again}");
    backup(&postgres, &second, Existing::Refuse, verifier(Depth::Deep)).await.unwrap();
    restore(&second, &folder.database("back.db"), verifier(Depth::Deep)).await.unwrap();
    assert_eq!(contents(&folder.database("old.db")).await, contents(&folder.database("back.db")).await);

    // Postgres goes on where SQLite stood, with its weights in an object store; its backup has them again.
    let blobs = folder.path("blobs").display().to_string();
    let with_objects = StoreOptions { blobs, ..StoreOptions::default() };
    let store = PostgresStore::open_with(&options, &with_objects).await.unwrap();
    assert_eq!(append(&store, request(digits, vec![example(None, 1.0)])).await.unwrap().first_seq, Some(Seq(61)));
    assert_eq!(learner(&store, "another").await.id, LearnerId(4), "3 was the deleted learner's");
    let fence = fence(&store, digits).await;
    publish(&store, fence, 4, Cause::Trained).await;
    let third = folder.path("third.db");
    let report = backup(&postgres, &third, Existing::Refuse, verifier(Depth::Usual)).await;
    let faults = match report {
        Err(MaintenanceError::Faulty { faults, .. }) => faults,
        other => panic!("{other:?}"),
    };
    // The suite's learner begins at an event of its journal that is not there.
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(faults[0].contains("learner 4: its checkpoint is at event 1"), "{faults:?}");
    assert!(store.delete_learner(LearnerId(4)).await.unwrap());
    backup(&postgres, &third, Existing::Refuse, verifier(Depth::Deep)).await.unwrap();
    std::fs::remove_dir_all(folder.path("blobs")).unwrap();
    restore(&third, &folder.database("third-back.db"), verifier(Depth::Deep)).await.unwrap();
}

#[tokio::test]
async fn nothing_that_is_there_is_overwritten_or_mixed() {
    let folder = Folder::new();
    let store = folder.store("old.db", &StoreOptions::default()).await;
    live(&store).await;
    let file = folder.path("backup.db");
    std::fs::write(&file, "something else").unwrap();
    let refused = backup(&folder.database("old.db"), &file, Existing::Refuse, verifier(Depth::Usual)).await;
    assert!(refused.unwrap_err().to_string().contains("--force"));
    assert_eq!(std::fs::read(&file).unwrap(), b"something else");
    backup(&folder.database("old.db"), &file, Existing::Replace, verifier(Depth::Usual)).await.unwrap();
    let before = contents(&folder.database("old.db")).await;
    let refused = restore(&file, &folder.database("old.db"), verifier(Depth::Usual)).await.unwrap_err().to_string();
    assert!(refused.contains("2 learners") && refused.contains("old.db"), "{refused}");
    assert_eq!(contents(&folder.database("old.db")).await, before);
    let missing = restore(&folder.path("none.db"), &folder.database("new.db"), verifier(Depth::Usual)).await;
    assert!(missing.unwrap_err().to_string().contains("no such file"));
    assert!(!folder.path("new.db").exists());
    let names: Vec<_> = std::fs::read_dir(folder.0.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.iter().all(|name| !name.to_string_lossy().starts_with('.')), "nothing is left behind: {names:?}");
}

/// The database of the first release.
fn first_release(folder: &Folder) -> PathBuf {
    let packed = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/first-release.db.gz");
    let mut bytes = Vec::new();
    let packed = std::fs::File::open(packed).unwrap();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(packed), &mut bytes).unwrap();
    let path = folder.path("first.db");
    std::fs::write(&path, bytes).unwrap();
    path
}

#[tokio::test]
async fn the_first_releases_database_is_listed_migrated_and_found_sound() {
    let folder = Folder::new();
    let database = Database::Sqlite(first_release(&folder));
    let state = database.migrations().await.unwrap();
    assert_eq!(state.applied.len(), 1);
    assert!(state.pending.iter().any(|migration| migration.number == 4 && migration.reason.contains("object store")));
    let behind = verify(&database, verifier(Depth::Usual)).await.unwrap_err().to_string();
    assert!(behind.contains("run `perennial migrate`"), "{behind}");
    assert_eq!(database.migrate().await.unwrap(), state.pending);
    assert!(database.migrate().await.unwrap().is_empty());
    let report = sound(&database).await;
    let heads: Vec<i64> = report.learners.iter().map(|learner| learner.head_seq).collect();
    assert_eq!(heads, [300, 300]);
}

#[tokio::test]
async fn a_backup_of_an_older_database_is_made_as_it_is_and_restored_by_this_build() {
    let folder = Folder::new();
    let old = Database::Sqlite(first_release(&folder));
    let file = folder.path("backup.db");
    let report = backup(&old, &file, Existing::Refuse, verifier(Depth::Usual)).await.unwrap();
    assert!(report.verified.is_none());
    assert!(!old.migrations().await.unwrap().pending.is_empty(), "a backup migrates nothing");
    let before = std::fs::read(&file).unwrap();
    let restored = restore(&file, &folder.database("new.db"), verifier(Depth::Usual)).await.unwrap();
    assert_eq!(restored.verified.learners.len(), 2);
    assert!(std::fs::read(&file).unwrap() == before, "the backup itself is never written to");
    sound(&folder.database("new.db")).await;
}

#[tokio::test]
async fn every_fault_is_found_and_named_by_ids() {
    let faults: [(&str, &str); 21] = [
        ("DELETE FROM examples WHERE learner_id = 1 AND seq = 17", "the first is example 17"),
        ("DELETE FROM examples WHERE learner_id = 1 AND seq > 58", "its head is 60, its newest example 58"),
        ("DELETE FROM journal WHERE learner_id = 2 AND position = 3", "the first is event 3"),
        ("DELETE FROM versions WHERE learner_id = 2 AND version = 2", "the first is version 2"),
        ("UPDATE versions SET parent = 9 WHERE learner_id = 1 AND version = 3", "version 3 has a parent"),
        ("UPDATE versions SET trained_seq = 99 WHERE learner_id = 1 AND version = 3", "beyond the head"),
        ("UPDATE checkpoints SET trained_seq = 61 WHERE learner_id = 1", "at example 61, beyond its head 60"),
        ("UPDATE checkpoints SET last_version = 2 WHERE learner_id = 1", "last version is 2, its newest 3"),
        ("UPDATE checkpoints SET position = 44 WHERE learner_id = 1", "at event 44"),
        ("DELETE FROM aliases WHERE learner_id = 2", "learner 2 has no live version"),
        ("UPDATE versions SET weights_kept = 0 WHERE learner_id = 2 AND version = 3", "version 3 is named by an alias"),
        ("UPDATE aliases SET generation = 7 WHERE learner_id = 2", "generation 7 is an alias's newest"),
        ("DELETE FROM alias_history WHERE learner_id = 1 AND generation = 1", "in which others are missing"),
        (
            "DELETE FROM blobs WHERE digest = (SELECT optimizer FROM checkpoints WHERE learner_id = 1)",
            "optimizer state",
        ),
        ("UPDATE blob_parts SET bytes = CAST('other' AS BLOB) WHERE blob_id = 1", "blob 1 ("),
        ("DELETE FROM corrections WHERE learner_id = 1", "example 12 is deleted and no correction says so"),
        ("UPDATE examples SET row = x'0100' WHERE seq = 12", "correction 1 deleted an example whose values are still"),
        ("UPDATE corrections SET seq = 61 WHERE learner_id = 2", "correction 1 is of an example that is not there"),
        ("DELETE FROM streams WHERE learner_id = 1", "learner 1 has no stream"),
        ("UPDATE journal SET learner_id = 77 WHERE learner_id = 1 AND position = 5", "rows of learner 77"),
        ("UPDATE examples SET row = CAST('secret' AS BLOB) WHERE learner_id = 1 AND seq = 5", "example 5 of learner 1"),
    ];
    let folder = Folder::new();
    let store = folder.store("sound.db", &StoreOptions::default()).await;
    live(&store).await;
    let good = folder.path("backup.db");
    backup(&folder.database("sound.db"), &good, Existing::Refuse, verifier(Depth::Deep)).await.unwrap();
    for (number, (damage, expected)) in faults.into_iter().enumerate() {
        let path = folder.path(&format!("damaged-{number}.db"));
        std::fs::copy(&good, &path).unwrap();
        let database = Database::Sqlite(path);
        let mut connection = database.connect(Purpose::Write).await.unwrap();
        connection.execute("PRAGMA foreign_keys = OFF", &[]).await.unwrap();
        assert!(connection.execute(damage, &[]).await.unwrap() > 0, "{damage}");
        close(connection).await;
        let report = verify(&database, verifier(Depth::Deep)).await.unwrap();
        assert!(report.faults.iter().any(|fault| fault.contains(expected)), "{damage}: {:#?}", report.faults);
        assert!(report.faults.iter().all(|fault| !fault.contains("secret")), "{:#?}", report.faults);
        let refused = backup(&database, &folder.path("never.db"), Existing::Refuse, verifier(Depth::Deep)).await;
        assert!(matches!(refused, Err(MaintenanceError::Faulty { .. })), "{damage}");
        assert!(!folder.path("never.db").exists());
    }
}

#[tokio::test]
async fn a_live_version_that_cannot_be_loaded_is_a_fault() {
    let folder = Folder::new();
    let store = folder.store("old.db", &StoreOptions::default()).await;
    live(&store).await;
    let loads = |version: crate::registry::Version, _: &[u8]| Err(format!("{} is no network", version.version));
    let verifier = Verifier { loads: &loads, ..verifier(Depth::Usual) };
    let report = verify(&folder.database("old.db"), verifier).await.unwrap();
    assert_eq!(report.faults.len(), 2);
    assert!(report.faults[0].contains("learner 1: version 3, which is live, cannot be loaded"), "{:?}", report.faults);
}
