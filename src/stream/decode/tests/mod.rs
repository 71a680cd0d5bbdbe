//! What the decoders promise, through the functions that the edge calls.

mod bodies;
mod images;
mod properties;
mod values;

use super::*;
use crate::stream::schema::{Feature, FeatureKind, TextFeature, TimestampFeature};

/// A schema with one feature of every kind, and the task `a`, `b`, `7`, `true`.
struct Learner {
    schema: Schema,
    task: Task,
}

impl Learner {
    fn new() -> Self {
        let feature = |(name, kind): (&str, FeatureKind)| Feature::new(name, kind);
        let features = [
            ("n", FeatureKind::Numeric),
            ("c", FeatureKind::Categorical { max_categories: 4 }),
            ("v", FeatureKind::Vector { size: 2 }),
            ("i", FeatureKind::Image { height: 1, width: 2, channels: 1, max: 255.0 }),
        ];
        Self { schema: Schema { features: features.map(feature).to_vec() }, task: closed(&["a", "b", "7", "true"]) }
    }

    fn with_task(task: Task) -> Self {
        Self { task, ..Self::new() }
    }

    fn of(kind: FeatureKind) -> Self {
        let features = vec![Feature::new("x", kind)];
        Self { schema: Schema { features }, task: Task::Regression }
    }

    fn expected(&self) -> Expected<'_> {
        Expected { schema: &self.schema, task: &self.task, max_rows: 10 }
    }

    fn examples(&self, body: &str) -> Result<Vec<NewExample>, DecodeError> {
        examples_json(body.as_bytes(), self.expected())
    }

    /// One example with these inputs and this label.
    fn example(&self, inputs: &str, label: &str) -> Result<NewExample, DecodeError> {
        let body = format!(r#"{{"examples":[{{"inputs":{inputs},"label":{label}}}]}}"#);
        self.examples(&body).map(|mut examples| examples.pop().unwrap())
    }

    fn lines(&self, body: &str) -> Result<Vec<NewExample>, DecodeError> {
        examples_ndjson(body.as_bytes(), self.expected())
    }

    fn predict(&self, body: &str) -> Result<PredictBody, DecodeError> {
        predict_json(body.as_bytes(), self.expected())
    }
}

const INPUTS: &str = r#"{"n":1.5,"c":"red","v":[1,2],"i":[[3,4]]}"#;

fn closed(classes: &[&str]) -> Task {
    let classes = classes.iter().map(|&class| class.to_owned()).collect();
    Task::Classification { classes, open_classes: false }
}

/// The pointers of an invalid body.
#[track_caller]
fn pointers<T: std::fmt::Debug>(answer: Result<T, DecodeError>) -> Vec<String> {
    match answer {
        Err(DecodeError::Invalid(faults)) => faults.into_iter().map(|fault| fault.pointer).collect(),
        other => panic!("the body should be invalid: {other:?}"),
    }
}

/// The only fault of a malformed body.
#[track_caller]
fn malformed<T: std::fmt::Debug>(answer: Result<T, DecodeError>) -> Fault {
    match answer {
        Err(DecodeError::Malformed(fault)) => fault,
        other => panic!("the body should be malformed: {other:?}"),
    }
}
