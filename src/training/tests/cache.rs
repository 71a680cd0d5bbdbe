//! What is cached of the stream changes no bit, and with it the database is not in the way of training.

use std::path::PathBuf;

use serde_json::{Value as Json, json};

use super::fixture::{Fixture, create, points};
use crate::metrics::CacheMetrics;
use crate::stream::cache::SEGMENT_PLACES;
use crate::stream::{ExampleName, LearnerId, Seq, row_codec};
use crate::training::{Checkpoint, LearnerPatch, Supervisor};

/// Two segments and a tail.
const ROWS: u64 = 2 * SEGMENT_PLACES + 100;

/// Few steps for so many rows.
fn settings() -> Json {
    json!({"training": {
        "steps_per_row": 0.01, "round_rows": 1_024, "max_passes": 1, "publish_rows": 5_000, "batch": 64,
    }})
}

/// What becomes of the cache where a process ends.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Cache {
    Off,
    On,
    /// A byte of every file is another.
    Damaged,
    Gone,
}

fn files(fixture: &Fixture) -> Vec<PathBuf> {
    let Ok(folders) = std::fs::read_dir(fixture.cache_folder()) else { return Vec::new() };
    let folders = folders.map(|entry| entry.unwrap().path());
    folders.flat_map(|folder| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path())).collect()
}

fn harm(fixture: &Fixture, cache: Cache) {
    for (number, file) in files(fixture).into_iter().enumerate() {
        match cache {
            Cache::Off | Cache::On => {}
            Cache::Gone => std::fs::remove_file(file).unwrap(),
            Cache::Damaged => {
                let mut bytes = std::fs::read(&file).unwrap();
                let at = (7_919 * (number + 1)) % bytes.len();
                bytes[at] ^= 0x10;
                // As a disk would: the file is not replaced but other than it was.
                std::fs::write(&file, bytes).unwrap();
            }
        }
    }
}

async fn supervisor(fixture: &Fixture, cache: Cache) -> Supervisor {
    match cache {
        Cache::Off => fixture.careless_supervisor().await,
        Cache::On | Cache::Damaged | Cache::Gone => fixture.cached_supervisor().await,
    }
}

fn metrics(supervisor: &Supervisor) -> CacheMetrics {
    supervisor.inner.environment.metrics.cache.clone()
}

/// Learns the stream, killed after each of these many rows.
async fn learned(cache: Cache, stops: &[u64]) -> Checkpoint {
    let fixture = Fixture::new().await;
    let first = fixture.supervisor().await;
    let learner = create(&first, "points", settings()).await.id;
    first.stop().await;
    fixture.append(learner, points(0, ROWS)).await;
    for &stop in stops {
        let supervisor = supervisor(&fixture, cache).await;
        supervisor.until(learner, |status| status.trained_seq.0 >= stop).await;
        supervisor.crash(learner).await;
        harm(&fixture, cache);
    }
    let supervisor = supervisor(&fixture, cache).await;
    supervisor.rested(learner, ROWS).await;
    supervisor.stop().await;
    assert_eq!(files(&fixture).len(), if cache == Cache::Off { 0 } else { 2 });
    fixture.checkpoint(learner).await
}

#[tokio::test(flavor = "multi_thread")]
async fn bits_do_not_depend_on_the_cache_whether_it_is_on_off_damaged_or_gone() {
    let whole = learned(Cache::Off, &[]).await;
    let lives = [
        (Cache::On, &[][..]),
        (Cache::On, &[4_000, 5_000]),
        (Cache::Damaged, &[SEGMENT_PLACES + 1, 6_000]),
        (Cache::Gone, &[SEGMENT_PLACES + 1, 6_000]),
    ];
    for (cache, stops) in lives {
        let checkpoint = learned(cache, stops).await;
        let what = format!("{cache:?} at {stops:?}");
        assert_eq!(checkpoint.weights, whole.weights, "{what}");
        assert_eq!(checkpoint.optimizer, whole.optimizer, "{what}");
        assert_eq!(checkpoint.model, whole.model, "{what}");
        assert_eq!(checkpoint.progress, whole.progress, "{what}");
    }
}

/// Wakes a learner's passes over history, without a new row.
async fn reopen_passes(fixture: &Fixture, learner: LearnerId) {
    let record = fixture.store.learner_by_id(learner).await.unwrap().unwrap();
    let patch: LearnerPatch = serde_json::from_value(json!({"training": {"max_passes": 2}})).unwrap();
    let document = record.document.apply_patch(&patch).unwrap();
    fixture.store.update_learner(learner, record.revision, &document).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_over_sealed_history_asks_the_store_for_no_row() {
    let fixture = Fixture::new().await;
    let supervisor = fixture.cached_supervisor().await;
    let learner = create(&supervisor, "points", settings()).await.id;
    let rows = 2 * SEGMENT_PLACES;
    fixture.append(learner, points(0, rows)).await;
    supervisor.rested(learner, rows).await;
    supervisor.stop().await;
    reopen_passes(&fixture, learner).await;
    let supervisor = fixture.cached_supervisor().await;
    let metrics = metrics(&supervisor);
    supervisor.rested(learner, rows).await;
    supervisor.stop().await;
    let from = |source: &str| metrics.rows.with_label_values(&[source]).get();
    assert_eq!(from("store"), 0);
    assert!(from("cache") > rows, "two passes: {}", from("cache"));
    assert_eq!(metrics.segments.with_label_values(&["built"]).get(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_value_leaves_the_files_of_the_cache_before_its_input_ends() {
    let fixture = Fixture::new().await;
    let supervisor = fixture.cached_supervisor().await;
    let learner = create(&supervisor, "points", settings()).await.id;
    fixture.append(learner, points(0, ROWS)).await;
    supervisor.rested(learner, ROWS).await;
    let bytes = {
        let seqs = [Seq(100)];
        let entry = fixture.store.fetch(learner, &seqs).await.unwrap().remove(0);
        row_codec::encode(&entry.into_example().unwrap().row)
    };
    let stands = || {
        let found = |file: PathBuf| std::fs::read(file).unwrap().windows(bytes.len()).any(|window| window == bytes);
        files(&fixture).into_iter().any(found)
    };
    assert!(stands());
    let example = ExampleName::Seq(Seq(100));
    fixture.store.delete_example(learner, &example).await.unwrap();
    supervisor.corrected(&fixture, learner, 1).await;
    assert!(!stands());
    supervisor.remove(learner).await;
    assert_eq!(files(&fixture), Vec::<PathBuf>::new(), "a deleted learner's files go with it");
    supervisor.stop().await;
}
