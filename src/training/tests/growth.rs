//! Growth of a running learner: ordered by an operator, wanted by the policy, brought by the stream.

use serde_json::json;

use super::fixture::{Fixture, create, example, points};
use crate::growth::{Extent, GrowthOp, Nodes, Refusal, Split, Wider};
use crate::registry::{Cause, VersionId};
use crate::stream::{Feature, FeatureKind, Label, LearnerId, NewExample, Value};
use crate::training::{GrowthEvent, GrowthOrder, JournalEvent, TicketState, Trigger};

async fn growths(fixture: &Fixture, learner: LearnerId) -> Vec<GrowthEvent> {
    let journal = fixture.journal(learner).await;
    let grown = journal.into_iter().filter_map(|event| match event {
        JournalEvent::Grown(event) => Some(*event),
        _ => None,
    });
    grown.collect()
}

fn double() -> GrowthOrder {
    GrowthOrder::Wider(Wider { nodes: Nodes::All, extent: Extent::Factor(2.0), split: Split::Replicate })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operators_order_publishes_teacher_and_student_with_a_certificate() {
    let fixture = Fixture::new().await;
    let supervisor = fixture.supervisor().await;
    let learner = create(&supervisor, "points", json!({})).await.id;
    fixture.append(learner, points(0, 200)).await;
    supervisor.rested(learner, 200).await;
    let live = fixture.store.alias(learner, "live").await.unwrap().unwrap();
    let ticket = fixture.store.order_growth(learner, &double()).await.unwrap();
    supervisor.notify(learner);
    supervisor.until(learner, |status| status.network.summary() == "4-8-2").await;
    let ticket = fixture.store.ticket(learner, ticket.id).await.unwrap().unwrap();
    assert_eq!(ticket.state, TicketState::Applied);
    let event = ticket.event.unwrap();
    assert_eq!(growths(&fixture, learner).await, std::slice::from_ref(&event));
    assert_eq!((event.op, event.trigger), (GrowthOp::Wider, Trigger::Manual));
    assert!(event.certificate.preserved && event.certificate.max_rel_diff <= 1e-5);
    assert_eq!(event.teacher, live, "the state was the live version, which is the teacher");
    let student = fixture.store.version(learner, event.version).await.unwrap().unwrap();
    assert_eq!(student.parent, Some(event.teacher));
    assert!(matches!(student.cause, Cause::Growth { op: GrowthOp::Wider, .. }));
    let journal = fixture.journal(learner).await;
    let went_live = |event: &JournalEvent| match event {
        JournalEvent::Published { version, live: true, .. } => *version == student.version,
        _ => false,
    };
    assert!(journal.iter().any(went_live));
    supervisor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_taken_one_after_the_other() {
    let fixture = Fixture::new().await;
    let supervisor = fixture.supervisor().await;
    let learner = create(&supervisor, "points", json!({})).await.id;
    for _ in 0..3 {
        fixture.store.order_growth(learner, &double()).await.unwrap();
    }
    supervisor.notify(learner);
    supervisor.until(learner, |status| status.network.summary() == "4-32-2").await;
    assert_eq!(fixture.store.next_ticket(learner).await.unwrap(), None);
    assert_eq!(growths(&fixture, learner).await.len(), 3);
    supervisor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_growth_beyond_the_budget_is_refused_and_changes_nothing() {
    let fixture = Fixture::new().await;
    let supervisor = fixture.supervisor().await;
    let learner = create(&supervisor, "points", json!({"policy": {"kind": "manual", "max_parameters": 40}})).await.id;
    let before = fixture.checkpoint(learner).await;
    let ticket = fixture.store.order_growth(learner, &double()).await.unwrap();
    supervisor.notify(learner);
    let answered = async {
        loop {
            let ended = supervisor.inner.queue.ended().notified();
            let ticket = fixture.store.ticket(learner, ticket.id).await.unwrap().unwrap();
            if ticket.state != TicketState::Planned {
                return ticket;
            }
            ended.await;
        }
    };
    let ticket = answered.await;
    assert_eq!(ticket.state, TicketState::Refused);
    assert!(matches!(ticket.refusal, Some(Refusal::Budget { limit: 40, .. })));
    let after = fixture.checkpoint(learner).await;
    assert_eq!((after.weights, after.model, after.last_version), (before.weights, before.model, VersionId(1)));
    supervisor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_class_gets_its_output_before_it_is_learned() {
    let fixture = Fixture::new().await;
    let supervisor = fixture.supervisor().await;
    let open = json!({"task": {"kind": "classification", "classes": [], "open_classes": true}});
    let learner = create(&supervisor, "open", open).await.id;
    fixture.append(learner, points(0, 128)).await;
    supervisor.rested(learner, 128).await;
    let new = points(128, 128).into_iter().map(|point| match &point.row[0] {
        Value::Number(x) if *x > 1.0 => NewExample { label: Label::Class("far".into()), ..point },
        _ => point,
    });
    fixture.append(learner, new.collect()).await;
    let status = supervisor.rested(learner, 256).await;
    assert_eq!(status.network.output_shape().channels(), 3);
    let events = growths(&fixture, learner).await;
    assert!(events.iter().all(|event| event.op == GrowthOp::Classes && event.trigger == Trigger::Stream));
    assert_eq!(events.last().unwrap().seq.0, 128);
    let checkpoint = fixture.checkpoint(learner).await;
    assert_eq!(checkpoint.model.targets.class_index("far"), Some(2));
    supervisor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_category_gets_its_column_before_it_is_learned() {
    let fixture = Fixture::new().await;
    let supervisor = fixture.supervisor().await;
    let schema = json!({"schema": {"features": [{"name": "colour", "kind": "categorical"}]}});
    let learner = create(&supervisor, "colours", schema).await.id;
    let rows = |colours: &[&str]| -> Vec<NewExample> {
        let row = |index: usize| {
            let colour = colours[index % colours.len()];
            let class = if colour == "red" { "left" } else { "right" };
            example(vec![Value::Category(colour.into())], Label::Class(class.into()))
        };
        (0..64).map(row).collect()
    };
    fixture.append(learner, rows(&["red", "green"])).await;
    let before = supervisor.rested(learner, 64).await.network.input().elements();
    fixture.append(learner, rows(&["blue", "yellow", "red"])).await;
    let after = supervisor.rested(learner, 128).await.network.input().elements();
    assert_eq!(after, before + 2);
    let events = growths(&fixture, learner).await;
    assert!(events.iter().all(|event| event.op == GrowthOp::Inputs && event.certificate.max_abs_diff == 0.0));
    assert_eq!(events.len(), 2);
    supervisor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feature_is_added_at_the_end_and_learned_from_its_first_row() {
    let fixture = Fixture::new().await;
    let supervisor = fixture.supervisor().await;
    let learner = create(&supervisor, "points", json!({"training": {"learning_rate": 0.05}})).await.id;
    fixture.append(learner, points(0, 200)).await;
    supervisor.rested(learner, 200).await;
    let before = fixture.checkpoint(learner).await.model;
    let order = GrowthOrder::Features { features: vec![Feature::new("a", FeatureKind::Numeric)] };
    let ticket = fixture.store.order_growth(learner, &order).await.unwrap().id;
    supervisor.notify(learner);
    supervisor.until(learner, |status| status.network.summary() == "6-4-2").await;
    let event = fixture.store.ticket(learner, ticket).await.unwrap().unwrap().event.unwrap();
    assert_eq!((event.op, event.certificate.max_rel_diff), (GrowthOp::Inputs, 0.0));
    let student = fixture.store.version(learner, event.version).await.unwrap().unwrap().model;
    assert_eq!(student.encoder.schema(), &before.encoder.schema().with(&[Feature::new("a", FeatureKind::Numeric)]));
    let schema = fixture.store.learner_by_id(learner).await.unwrap().unwrap().document.schema;
    assert_eq!(&schema, student.encoder.schema());

    // From here on the label is the sign of the new feature, whatever the old ones are.
    let rows = points(200, 1_000).into_iter().zip(points(5_000, 1_000)).map(|(point, other)| {
        let Value::Number(a) = other.row[0] else { panic!("points are numbers") };
        let class = if a > 0.0 { "right" } else { "left" };
        let row = [point.row, vec![Value::Number(a)]].concat();
        example(row, Label::Class(class.into()))
    });
    let rows: Vec<NewExample> = rows.collect();
    fixture.append(learner, rows.clone()).await;
    supervisor.rested(learner, 1_200).await;
    let metrics = supervisor.status(learner).unwrap().metrics.clone();
    let accuracy = metrics.progressive_accuracy.unwrap();
    assert!(accuracy > 0.8, "{accuracy}: without the feature it would be near a half");
    supervisor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn features_stay_when_training_is_set_back_to_a_version_without_them() {
    let fixture = Fixture::new().await;
    let supervisor = fixture.supervisor().await;
    let settings = json!({"holdout_share": 0.3, "gate_patience": 2, "max_passes": 0});
    let record = create(&supervisor, "points", json!({"training": settings})).await;
    let learner = record.id;
    fixture.append(learner, points(0, 500)).await;
    supervisor.rested(learner, 500).await;
    let good = fixture.store.alias(learner, "live").await.unwrap().unwrap();
    let rate = async |rate: f64| {
        let record = fixture.store.learner_by_id(learner).await.unwrap().unwrap();
        let patch = serde_json::from_value(json!({"training": {"learning_rate": rate}})).unwrap();
        let document = record.document.apply_patch(&patch).unwrap();
        fixture.store.update_learner(learner, record.revision, &document).await.unwrap().unwrap();
    };
    // A state that the gate refuses grows: its student is not live.
    rate(10.0).await;
    fixture.append(learner, points(500, 64)).await;
    supervisor.rested(learner, 564).await;
    let order = GrowthOrder::Features { features: vec![Feature::new("a", FeatureKind::Vector { size: 3 })] };
    let ticket = fixture.store.order_growth(learner, &order).await.unwrap().id;
    supervisor.notify(learner);
    supervisor.until(learner, |status| status.network.input().elements() == 7).await;
    let event = fixture.store.ticket(learner, ticket).await.unwrap().unwrap().event.unwrap();
    assert_eq!(event.certificate.max_rel_diff, 0.0);
    assert_eq!(fixture.store.alias(learner, "live").await.unwrap(), Some(good));

    let long = |skip: u64, count: u64| -> Vec<NewExample> {
        let rows = points(skip, count).into_iter();
        rows.map(|point| NewExample { row: [point.row, vec![Value::Vector(vec![1.0; 3])]].concat(), ..point }).collect()
    };
    fixture.append(learner, long(564, 300)).await;
    supervisor.rested(learner, 864).await;
    let journal = fixture.journal(learner).await;
    assert!(journal.iter().any(|event| matches!(event, JournalEvent::SetBack { .. })), "the gate kept refusing");
    let model = fixture.checkpoint(learner).await.model;
    assert_eq!((model.network.input().elements(), model.encoder.shape().elements()), (7, 7));
    assert_eq!(fixture.store.alias(learner, "live").await.unwrap(), Some(good));

    rate(0.02).await;
    fixture.append(learner, long(864, 600)).await;
    supervisor.rested(learner, 1_464).await;
    let live = fixture.store.alias(learner, "live").await.unwrap().unwrap();
    let live = fixture.store.version(learner, live).await.unwrap().unwrap();
    assert!(live.version > good);
    assert_eq!(live.model.network.input().elements(), 7, "the features are served once the gate lets them pass");
    supervisor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn features_that_make_no_sense_are_refused_and_change_nothing() {
    let fixture = Fixture::new().await;
    let supervisor = fixture.supervisor().await;
    let points = create(&supervisor, "points", json!({})).await;
    let image = json!({"schema": {"features": [{"name": "i", "kind": "image", "height": 2, "width": 2}]}});
    let picture = create(&supervisor, "picture", image).await;
    let numeric = |name: &str| Feature::new(name, FeatureKind::Numeric);
    for (record, features, reason) in [
        (&points, vec![numeric("a"), numeric("x")], "there is a feature `x` already"),
        (&points, vec![Feature::new("v", FeatureKind::Vector { size: 1_000_000 })], "more than 1000000 numbers"),
        (&picture, vec![numeric("a")], "one image as a picture"),
    ] {
        let order = GrowthOrder::Features { features };
        let id = fixture.store.order_growth(record.id, &order).await.unwrap().id;
        supervisor.notify(record.id);
        let ticket = loop {
            let ended = supervisor.inner.queue.ended().notified();
            let ticket = fixture.store.ticket(record.id, id).await.unwrap().unwrap();
            if ticket.state != TicketState::Planned {
                break ticket;
            }
            ended.await;
        };
        assert_eq!(ticket.state, TicketState::Refused);
        let refusal = ticket.refusal.unwrap().to_string();
        assert!(refusal.contains(reason), "{refusal}");
        let after = fixture.store.learner_by_id(record.id).await.unwrap().unwrap();
        assert_eq!(after.document.schema, record.document.schema);
        assert_eq!(fixture.checkpoint(record.id).await.model, record.document.first_model().unwrap());
    }
    supervisor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policy_grows_a_learner_on_its_own_and_says_why() {
    let fixture = Fixture::new().await;
    let supervisor = fixture.supervisor().await;
    let settings = json!({"network": {"kind": "mlp", "hidden": [2]}, "policy": {"kind": "data_volume"}});
    let learner = create(&supervisor, "points", settings).await.id;
    fixture.append(learner, points(0, 1_500)).await;
    supervisor.rested(learner, 1_500).await;
    let events = growths(&fixture, learner).await;
    assert!(!events.is_empty());
    for event in &events {
        assert_eq!(event.trigger, Trigger::Policy);
        assert!(!event.reasons.is_empty() && event.reasons.iter().all(|reason| reason.holds));
    }
    let journal = fixture.journal(learner).await;
    let decided = journal.iter().filter(|event| matches!(event, JournalEvent::Decided { .. })).count();
    assert!(decided >= events.len());
    supervisor.stop().await;
}
