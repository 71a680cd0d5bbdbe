//! A life lived again: the same bits whatever happened in it, and the first difference where the record was touched.

use serde_json::{Value as Json, json};

use super::fixture::{Fixture, create, example, open, points};
use crate::growth::{Extent, Nodes, Split, Wider};
use crate::stream::{ExampleName, Feature, FeatureKind, Label, LearnerId, LearnerName, NewExample, Seq, Value};
use crate::training::life::{Again, LifeError, Report, live_again};
use crate::training::{GrowthOrder, JournalEvent, LearnerPatch, Supervisor};

async fn again(fixture: &Fixture, name: &str) -> Result<Report, LifeError> {
    let folder = tempfile::tempdir().unwrap();
    let scratch = open(folder.path()).await;
    let again = Again { source: fixture.store.clone(), scratch: scratch.clone(), onlooker: &|_| {} };
    let report = live_again(again, &LearnerName::parse(name).unwrap(), 1).await;
    scratch.close().await;
    report
}

async fn same(fixture: &Fixture, name: &str) -> Report {
    let report = again(fixture, name).await.unwrap();
    assert_eq!(report.difference, None, "{report:?}");
    report
}

async fn patch(fixture: &Fixture, learner: LearnerId, patch: Json) {
    let patch: LearnerPatch = serde_json::from_value(patch).unwrap();
    let record = fixture.store.learner_by_id(learner).await.unwrap().unwrap();
    let document = record.document.apply_patch(&patch).unwrap();
    fixture.store.update_learner(learner, record.revision, &document).await.unwrap().unwrap();
}

/// Learns up to here without a checkpoint of its own accord, and is killed.
async fn killed_after(fixture: &Fixture, learner: LearnerId, seq: u64) {
    let supervisor = fixture.careless_supervisor().await;
    supervisor.notify(learner);
    supervisor.until(learner, |status| status.trained_seq.0 >= seq).await;
    supervisor.crash(learner).await;
}

async fn rested(fixture: &Fixture, learner: LearnerId, seq: u64) {
    let supervisor: Supervisor = fixture.supervisor().await;
    supervisor.rested(learner, seq).await;
    supervisor.stop().await;
}

/// A life with rests, kills, growths by policy, by hand and by the stream, features and changed settings.
async fn eventful() -> (Fixture, LearnerId) {
    let fixture = Fixture::new().await;
    let settings = json!({
        "policy": {"kind": "data_volume", "refractory_rows": 100},
        "network": {"kind": "mlp", "hidden": [2]},
        "task": {"kind": "classification", "classes": ["left", "right"], "open_classes": true},
        "training": {"average_decay": 0.95, "clip_norm": 2.0},
    });
    let supervisor = fixture.supervisor().await;
    let learner = create(&supervisor, "points", settings).await.id;
    supervisor.stop().await;
    fixture.append(learner, points(0, 130)).await;
    rested(&fixture, learner, 130).await;
    fixture.append(learner, points(130, 270)).await;
    killed_after(&fixture, learner, 200).await;
    patch(&fixture, learner, json!({"training": {"learning_rate": 0.01, "optimizer": "sgd"}})).await;
    rested(&fixture, learner, 400).await;
    patch(&fixture, learner, json!({"training": {"average_decay": 0}, "policy": {"kind": "manual"}})).await;
    let wider = Wider { nodes: Nodes::All, extent: Extent::Factor(1.5), split: Split::Replicate };
    fixture.store.order_growth(learner, &GrowthOrder::Wider(wider)).await.unwrap();
    let features = vec![Feature::new("site", FeatureKind::Categorical { max_categories: 4 })];
    fixture.store.order_growth(learner, &GrowthOrder::Features { features }).await.unwrap();
    rested(&fixture, learner, 400).await;
    let with_site = points(400, 200).into_iter().enumerate().map(|(index, point)| {
        let site = Value::Category(["north", "south"][index % 2].into());
        let label = if index % 50 == 7 { Label::Class("middle".into()) } else { point.label };
        NewExample { row: point.row.into_iter().chain([site]).collect(), label, ..point }
    });
    fixture.append(learner, with_site.collect()).await;
    killed_after(&fixture, learner, 464).await;
    rested(&fixture, learner, 600).await;
    (fixture, learner)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_life_lived_again_is_the_same_to_the_last_bit() {
    let (fixture, learner) = eventful().await;
    let report = same(&fixture, "points").await;
    let journal = fixture.journal(learner).await;
    let count = |kind: &str| journal.iter().filter(|event| event.kind() == kind).count() as u64;
    assert_eq!(report.growths, count("grown"));
    assert!(report.growths >= 4, "by policy, features, categories and a class: {report:?}");
    assert_eq!(count("settings"), 2);
    assert_eq!((report.trained_seq.0, report.versions), (600, count("published") + 1));
    assert!(report.steps > 0 && report.inputs == count("round") + count("pass") + count("order") + count("settings"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_life_is_lived_again_up_to_a_checkpoint_between_a_growth_and_its_round() {
    let fixture = Fixture::new().await;
    let supervisor = fixture.supervisor().await;
    let task = json!({"kind": "classification", "classes": ["left", "right"], "open_classes": true});
    let features = json!({"features": [
        {"name": "x", "kind": "numeric"}, {"name": "y", "kind": "numeric"}, {"name": "site", "kind": "categorical"},
    ]});
    let learner = create(&supervisor, "points", json!({"task": task, "schema": features})).await.id;
    supervisor.stop().await;
    let with = |point: NewExample, site: &str, label: Label| {
        let row = point.row.into_iter().chain([Value::Category(site.into())]).collect();
        example(row, label)
    };
    let known = points(0, 64).into_iter().map(|point| (point.label.clone(), point));
    fixture.append(learner, known.map(|(label, point)| with(point, "north", label)).collect()).await;
    rested(&fixture, learner, 64).await;
    let news = points(64, 64).into_iter().map(|point| with(point, "south", Label::Class("middle".into())));
    fixture.append(learner, news.collect()).await;
    let supervisor = fixture.careless_supervisor().await;
    supervisor.notify(learner);
    supervisor.until(learner, |status| status.network.output_shape().elements() == 3).await;
    supervisor.crash(learner).await;
    let checkpoint = fixture.checkpoint(learner).await;
    assert_eq!(checkpoint.trained_seq.0, 64, "the round that brought the class was not committed");
    assert!(same(&fixture, "points").await.growths >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn set_backs_are_lived_again() {
    let fixture = Fixture::new().await;
    let supervisor = fixture.supervisor().await;
    let settings = json!({"learning_rate": 1e30, "optimizer": "sgd", "max_passes": 0, "steps_per_row": 0.018});
    let learner = create(&supervisor, "absurd", json!({"training": settings})).await.id;
    supervisor.stop().await;
    fixture.append(learner, points(0, 600)).await;
    killed_after(&fixture, learner, 200).await;
    rested(&fixture, learner, 600).await;
    let back = |event: &&JournalEvent| matches!(event, JournalEvent::SetBack { .. });
    assert!(fixture.journal(learner).await.iter().filter(back).count() > 1);
    same(&fixture, "absurd").await;
}

/// Runs a statement behind the store's back.
async fn tamper(fixture: &Fixture, statement: &str) {
    let path = fixture.folder().join("perennial.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    let mut connection = sqlx::ConnectOptions::connect(&options).await.unwrap();
    let changed = sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
    assert_eq!(changed.rows_affected(), 1);
    sqlx::Connection::close(connection).await.unwrap();
}

/// A learner that has learned three hundred rows, at rest.
async fn lived() -> (Fixture, LearnerId) {
    let fixture = Fixture::new().await;
    let supervisor = fixture.supervisor().await;
    let learner = create(&supervisor, "points", json!({})).await.id;
    fixture.append(learner, points(0, 300)).await;
    supervisor.rested(learner, 300).await;
    supervisor.stop().await;
    (fixture, learner)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_difference_is_found_where_it_begins() {
    let (fixture, learner) = lived().await;
    let versions = fixture.store.versions(learner, crate::registry::VersionId(0), 100).await.unwrap();
    let before = versions.iter().filter(|version| version.trained_seq.0 < 150).count() as u64;

    let other = "CASE label_class WHEN 'left' THEN 'right' ELSE 'left' END";
    tamper(&fixture, &format!("UPDATE examples SET label_class = {other} WHERE seq = 150")).await;
    let report = again(&fixture, "points").await.unwrap();
    let difference = report.difference.unwrap();
    let at = &fixture.store.journal(learner, difference.position - 1, &[], 1).await.unwrap()[0].event;
    assert!(matches!(at, JournalEvent::Gate { seq, .. } if seq.0 >= 150), "{difference:?} is at {at:?}");
    assert_eq!(report.versions, before, "{difference:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_lacks_a_decision_is_found() {
    let (fixture, _) = lived().await;
    tamper(&fixture, "DELETE FROM journal WHERE position = 2").await;
    let error = again(&fixture, "points").await.unwrap_err();
    assert!(matches!(error, LifeError::Incomplete(_)), "{error}");
    assert!(matches!(again(&fixture, "nobody").await.unwrap_err(), LifeError::UnknownLearner));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_of_before_there_were_corrections_is_lived_again() {
    let (fixture, _) = lived().await;
    tamper(&fixture, "UPDATE checkpoints SET progress = json_remove(progress, '$.corrections')").await;
    same(&fixture, "points").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_life_with_a_corrected_example_is_lived_again_up_to_it() {
    let (fixture, learner) = lived().await;
    fixture.store.delete_example(learner, &ExampleName::Seq(Seq(200))).await.unwrap();
    let report = same(&fixture, "points").await;
    assert_eq!(report.corrected, Some(Seq(200)));
    assert!((64..200).contains(&report.trained_seq.0) && report.versions > 1, "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_of_before_journals_said_what_held_are_not_guessed() {
    let fixture = Fixture::new().await;
    let supervisor = fixture.supervisor().await;
    let learner = create(&supervisor, "points", json!({})).await.id;
    supervisor.stop().await;
    patch(&fixture, learner, json!({"training": {"learning_rate": 0.01}})).await;
    fixture.append(learner, points(0, 100)).await;
    rested(&fixture, learner, 100).await;
    same(&fixture, "points").await;
    tamper(&fixture, "UPDATE journal SET event = json_remove(event, '$.before') WHERE kind = 'settings'").await;
    let error = again(&fixture, "points").await.unwrap_err();
    assert!(error.to_string().contains("settings were changed before"), "{error}");
}
