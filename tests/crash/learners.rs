//! The learners that live through the kills, and their examples: each a function of its number, so that whatever comes back
//! from the server can be held against what was posted.

use serde_json::{Value, json};

use crate::drafts;

/// Who learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// Two numbers, classes that come with the stream, ids; grows by policy and publishes averages.
    Points,
    /// A regression with categories that come with the stream, no ids, a key for every request; grows by hand.
    Prices,
    /// Small images through a convolution, ids and keys; grows by hand.
    Shapes,
    /// Examples that are replaced and deleted again and again; grows by hand.
    Drafts,
}

/// All of them.
pub const SUBJECTS: [Subject; 4] = [Subject::Points, Subject::Prices, Subject::Shapes, Subject::Drafts];

/// Those whose examples stay as they were posted.
pub const STREAMS: [Subject; 3] = [Subject::Points, Subject::Prices, Subject::Shapes];

/// The learner that is created and deleted again and again.
pub const DOOMED: &str = "doomed";

impl Subject {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Points => "points",
            Self::Prices => "prices",
            Self::Shapes => "shapes",
            Self::Drafts => "drafts",
        }
    }

    /// The document that it is created from.
    pub fn document(self) -> Value {
        let training = json!({
            "round_rows": 32, "round_wait_ms": 20, "publish_rows": 60, "max_passes": 1, "steps_per_row": 0.25,
            "batch": 16, "gate_rows": 100,
        });
        let mut document = match self {
            Self::Points => json!({
                "task": {"kind": "classification", "classes": ["left", "right"], "open_classes": true},
                "schema": {"features": [{"name": "x", "kind": "numeric"}, {"name": "y", "kind": "numeric"}]},
                "network": {"kind": "mlp", "hidden": [2]},
                "policy": {"kind": "data_volume", "refractory_rows": 150, "max_parameters": 1_500},
            }),
            Self::Prices => json!({
                "task": {"kind": "regression"},
                "schema": {"features": [
                    {"name": "n", "kind": "numeric"},
                    {"name": "size", "kind": "numeric"},
                    {"name": "town", "kind": "categorical", "max_categories": 12},
                ]},
                "network": {"kind": "mlp", "hidden": [4]},
                "policy": {"kind": "manual", "max_parameters": 1_500},
            }),
            Self::Shapes => json!({
                "task": {"kind": "classification", "classes": ["dark", "light"]},
                "schema": {"features": [{"name": "pixels", "kind": "image", "height": 5, "width": 5, "max": 16}]},
                "network": {"kind": "cnn", "channels": [2]},
                "policy": {"kind": "manual", "max_parameters": 2_500},
            }),
            Self::Drafts => json!({
                "task": {"kind": "classification", "classes": ["kept", "cut"]},
                "schema": {"features": [
                    {"name": "n", "kind": "numeric"},
                    {"name": "revision", "kind": "numeric"},
                    {"name": "size", "kind": "numeric"},
                ]},
                "network": {"kind": "mlp", "hidden": [3]},
                "policy": {"kind": "manual", "max_parameters": 1_500},
            }),
        };
        document["name"] = self.name().into();
        document["training"] = training;
        if self == Self::Points {
            document["training"]["average_decay"] = json!(0.9);
        }
        document
    }

    /// Whether its examples have ids.
    pub fn has_ids(self) -> bool {
        self != Self::Prices
    }

    /// Whether its requests have keys.
    pub fn has_keys(self) -> bool {
        self != Self::Points
    }

    /// The inputs of example `number`.
    pub fn inputs(self, number: u64) -> Value {
        let wave = |factor: f64| ((number as f64 * factor).sin() * 1_024.0).round() / 1_024.0;
        match self {
            Self::Points => json!({"x": wave(1.7), "y": wave(2.3)}),
            Self::Prices => {
                // A new town every 400 examples, and more of them than there may be.
                let town = format!("town-{}", mixed(number) % (2 + number / 400));
                json!({"n": number, "size": wave(0.9), "town": town})
            }
            Self::Shapes => {
                let pixel =
                    |place: u64| (mixed(number * 31 + place) % 8) + if number.is_multiple_of(2) { 8 } else { 0 };
                let rows: Vec<Vec<u64>> = (0..5).map(|y| (0..5).map(|x| pixel(5 * y + x)).collect()).collect();
                json!({"pixels": rows})
            }
            Self::Drafts => drafts::inputs(number, 0),
        }
    }

    /// Its label.
    pub fn label(self, number: u64) -> Value {
        let inputs = self.inputs(number);
        match self {
            Self::Points if number % 1_000 == 999 => format!("class-{}", number / 3_000).into(),
            Self::Points => {
                let right =
                    inputs["x"].as_f64().expect("a number") + 0.5 * inputs["y"].as_f64().expect("a number") > 0.0;
                if right { "right".into() } else { "left".into() }
            }
            Self::Prices => json!(inputs["size"].as_f64().expect("a number") * 3.0 + (number % 7) as f64 * 0.25),
            Self::Shapes => if number.is_multiple_of(2) { "light" } else { "dark" }.into(),
            Self::Drafts => drafts::label(number, 0),
        }
    }

    /// The example as it is posted.
    pub fn example(self, number: u64) -> Value {
        let mut example = json!({"inputs": self.inputs(number), "label": self.label(number)});
        if self.has_ids() {
            example["id"] = self.id(number).into();
        }
        example
    }

    /// The id of example `number`.
    pub fn id(self, number: u64) -> String {
        format!("{}-{number}", self.name())
    }

    /// The number of an example that came back.
    pub fn number_of(self, stored: &Value) -> Option<u64> {
        if self.has_ids() {
            let number = stored["id"].as_str()?.strip_prefix(self.name())?.strip_prefix('-')?;
            return number.parse().ok();
        }
        stored["inputs"]["n"].as_u64()
    }

    /// Growths that an operator may ask for; some are refused, and that is an outcome too.
    pub fn orders(self) -> Vec<Value> {
        let wider = json!({"wider": {"all": true, "factor": 1.5}});
        match self {
            Self::Points => vec![json!({"auto": true}), json!({"classes": ["far"]})],
            Self::Prices => vec![
                wider,
                json!({"deeper": {"all": true}}),
                json!({"inputs": {"features": [{"name": "age", "kind": "numeric"}]}}),
            ],
            Self::Drafts => vec![wider],
            Self::Shapes => vec![wider, json!({"deeper": {"all": true, "kind": "residual"}})],
        }
    }
}

/// The bits of a number, mixed.
fn mixed(number: u64) -> u64 {
    let bits = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (bits ^ (bits >> 29)) >> 7
}
