//! What the decoders promise, through the functions that the edge calls.

mod arrow;
mod bodies;
mod csv;
mod images;
mod pieces;
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

    /// What a body that comes in these pieces is decoded to, or what is said of it.
    fn decode<'b>(
        &self,
        format: Format,
        pieces: impl IntoIterator<Item = &'b [u8]>,
    ) -> Result<Vec<NewExample>, DecodeError> {
        let mut decoder = format.decoder(LONGEST);
        let mut rows = Rows::default();
        let mut decode = |decoder: &mut dyn RowDecoder| {
            let progress = decoder.decode(self.expected(), SchemaAge::Newest, &mut rows);
            match (rows.malformed.take(), progress) {
                (Some(error), _) => Err(error),
                (None, Err(DecodeError::Invalid(of_body))) => {
                    rows.faults.extend(of_body);
                    Ok(Progress::Stopped)
                }
                (None, progress) => progress,
            }
        };
        let mut progress = Progress::Hungry;
        for piece in pieces {
            if progress == Progress::Hungry {
                decoder.feed(Bytes::copy_from_slice(piece));
                progress = decode(&mut *decoder)?;
            }
        }
        if progress == Progress::Hungry {
            decoder.end();
            decode(&mut *decoder)?;
        }
        if rows.faults.is_empty() { Ok(rows.examples) } else { Err(DecodeError::Invalid(rows.faults)) }
    }

    fn expected(&self) -> Expected<'_> {
        Expected { schema: &self.schema, task: &self.task, max_rows: 10 }
    }

    fn examples(&self, body: &str) -> Result<Vec<NewExample>, DecodeError> {
        self.decode(Format::Json, [body.as_bytes()])
    }

    /// One example with these inputs and this label.
    fn example(&self, inputs: &str, label: &str) -> Result<NewExample, DecodeError> {
        let body = format!(r#"{{"examples":[{{"inputs":{inputs},"label":{label}}}]}}"#);
        self.examples(&body).map(|mut examples| examples.pop().unwrap())
    }

    fn lines(&self, body: &str) -> Result<Vec<NewExample>, DecodeError> {
        self.decode(Format::Ndjson, [body.as_bytes()])
    }

    fn predict(&self, body: &str) -> Result<PredictBody, DecodeError> {
        predict_json(body.as_bytes(), self.expected())
    }
}

/// Everything that a decoder gives.
#[derive(Default)]
struct Rows {
    examples: Vec<NewExample>,
    faults: Vec<Fault>,
    malformed: Option<DecodeError>,
}

impl RowSink for Rows {
    fn take(&mut self, _row: u64, found: Result<NewExample, DecodeError>) -> ControlFlow<()> {
        match found {
            Ok(example) => self.examples.push(example),
            Err(DecodeError::Invalid(faults)) => self.faults.extend(faults),
            Err(error) => {
                self.malformed = Some(error);
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }
}

/// The longest document, line, record and message.
const LONGEST: usize = 1 << 20;

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
