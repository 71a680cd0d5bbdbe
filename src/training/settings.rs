//! How a learner learns: what its document says under `training`.

use serde::{Deserialize, Serialize};

use crate::compute::optimizer::{Optimizer, Schedule};

/// The settings of training; every one has a default that serves small and large streams.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainingSettings {
    /// `"adam"`, `"sgd"`, `"rmsprop"`, or an object with `kind` and the constants.
    #[serde(with = "optimizer_document")]
    pub optimizer: Optimizer,
    /// The step size.
    pub learning_rate: f64,
    /// What share of it a step takes: `"constant"`, or an object with `kind` `warmup` or `wsd` and its counts of steps, which
    /// are counted from where the schedule was set.
    pub schedule: Schedule,
    /// Decoupled weight decay: the share of every weight, times the step size, that a step takes from it. Biases, scales
    /// and slopes keep theirs.
    pub weight_decay: f64,
    /// The longest that the gradient of a step may be, over all parameters together; longer ones are shortened to it. Absent:
    /// as long as it is. Adam and RMSProp need none, since no step of theirs is longer for a longer gradient.
    pub clip_norm: Option<f64>,
    /// What the average of the weights keeps of itself in a step. 0: no average is kept; otherwise versions are published,
    /// judged and served with the averaged weights, while training goes on with the newest.
    pub average_decay: f64,
    /// Rows of a step: newest rows and replay together.
    pub batch: usize,
    /// The seed of everything random in this learner's life.
    pub seed: u64,
    /// Optimizer steps per new row.
    pub steps_per_row: f64,
    /// The share of a batch that is replay of older rows.
    pub replay_share: f64,
    /// New rows of a round.
    pub round_rows: usize,
    /// How long a shorter tail waits for more rows, in milliseconds.
    pub round_wait_ms: u64,
    /// Trained rows from one gate to the next.
    pub publish_rows: u64,
    /// The newest holdout rows that the gate measures.
    pub gate_rows: usize,
    /// Refusals in a row after which training is set back to the live version at half the rate.
    pub gate_patience: u32,
    /// The share of the stream that is evaluated and never learned.
    pub holdout_share: f64,
    /// Most passes over history while the stream is quiet.
    pub max_passes: u32,
    /// The learning rate after a growth, as a share of `learning_rate`: of everything after `wider` and `deeper`, of what
    /// is new alone after new inputs and classes.
    pub growth_lr_factor: f64,
    /// Steps until that learning rate is back.
    pub growth_warmup: u64,
}

impl Default for TrainingSettings {
    fn default() -> Self {
        Self {
            optimizer: Optimizer::ADAM,
            learning_rate: 0.002,
            schedule: Schedule::Constant,
            weight_decay: 0.0,
            clip_norm: None,
            average_decay: 0.0,
            batch: 32,
            seed: 1,
            steps_per_row: 0.5,
            replay_share: 0.5,
            round_rows: 64,
            round_wait_ms: 200,
            publish_rows: 500,
            gate_rows: 2_000,
            gate_patience: 5,
            holdout_share: 0.05,
            max_passes: 20,
            growth_lr_factor: 0.1,
            growth_warmup: 100,
        }
    }
}

impl TrainingSettings {
    /// What is wrong with the settings: a JSON pointer below `training` and a sentence; empty if nothing is.
    pub fn faults(&self) -> Vec<(String, String)> {
        let mut faults = optimizer_faults(&self.optimizer);
        faults.extend(self.schedule.check().err().map(|rule| ("/schedule".to_owned(), format!("`schedule`: {rule}"))));
        let share = |value: f64| (0.0..1.0).contains(&value);
        let checks = [
            ("/learning_rate", positive_up_to(self.learning_rate, 10.0), "is a number above 0 and up to 10"),
            ("/weight_decay", share_of_rate(self.weight_decay, self.learning_rate), WEIGHT_DECAY),
            ("/clip_norm", self.clip_norm.is_none_or(|norm| (1e-9..=1e9).contains(&norm)), CLIP_NORM),
            ("/average_decay", (0.0..=LONGEST_AVERAGE).contains(&self.average_decay), AVERAGE_DECAY),
            ("/batch", (1..=4_096).contains(&self.batch), "is a whole number from 1 to 4096"),
            ("/steps_per_row", positive_up_to(self.steps_per_row, 10.0), "is a number above 0 and up to 10"),
            ("/replay_share", share(self.replay_share), "is a number from 0 to below 1"),
            ("/round_rows", (1..=10_000).contains(&self.round_rows), "is a whole number from 1 to 10000"),
            ("/round_wait_ms", self.round_wait_ms <= 60_000, "is at most 60000 milliseconds"),
            ("/publish_rows", self.publish_rows >= 1, "is a whole number of 1 or more"),
            ("/gate_rows", (1..=100_000).contains(&self.gate_rows), "is a whole number from 1 to 100000"),
            ("/gate_patience", self.gate_patience >= 1, "is a whole number of 1 or more"),
            ("/holdout_share", share(self.holdout_share), "is a number from 0 to below 1"),
            ("/max_passes", self.max_passes <= 10_000, "is a whole number from 0 to 10000"),
            ("/growth_lr_factor", positive_up_to(self.growth_lr_factor, 1.0), "is a number above 0 and up to 1"),
        ];
        faults.extend(failed(checks));
        faults
    }
}

const CLIP_NORM: &str = "is a number from 1e-9 to 1e9, or absent";

/// An average that keeps more of itself would go so small a part of its way that f32 loses it.
const LONGEST_AVERAGE: f64 = 0.9999;
const AVERAGE_DECAY: &str = "is a number from 0 to 0.9999";

const WEIGHT_DECAY: &str = "is a number from 0 to 1, and times `learning_rate` below 1";

/// Whether a step takes less than the whole weight; a rate that is no number is a fault of its own.
fn share_of_rate(decay: f64, rate: f64) -> bool {
    (0.0..=1.0).contains(&decay) && (rate.is_nan() || decay * rate < 1.0)
}

fn optimizer_faults(optimizer: &Optimizer) -> Vec<(String, String)> {
    const DECAY: &str = "is a number from 0 to below 1";
    const EPSILON: &str = "is a number above 0 and up to 1, and a normal one in f32";
    let small = |epsilon: f64| positive_up_to(epsilon, 1.0) && (epsilon as f32).is_normal();
    let decay = |value: f64| (0.0..1.0).contains(&value);
    match *optimizer {
        Optimizer::Sgd { momentum } => failed([("/optimizer/momentum", decay(momentum), DECAY)]).collect(),
        Optimizer::RmsProp { decay: rate, epsilon } => {
            failed([("/optimizer/decay", decay(rate), DECAY), ("/optimizer/epsilon", small(epsilon), EPSILON)])
                .collect()
        }
        Optimizer::Adam { beta1, beta2, epsilon } => failed([
            ("/optimizer/beta1", decay(beta1), DECAY),
            ("/optimizer/beta2", decay(beta2), DECAY),
            ("/optimizer/epsilon", small(epsilon), EPSILON),
        ])
        .collect(),
    }
}

/// `false` for NaN too.
fn positive_up_to(value: f64, largest: f64) -> bool {
    value > 0.0 && value <= largest
}

fn rule_of(pointer: &str, rule: &str) -> String {
    format!("`{}` {rule}", pointer.trim_start_matches('/').replace('/', "."))
}

fn failed<const N: usize>(checks: [(&str, bool, &str); N]) -> impl Iterator<Item = (String, String)> {
    let fault = |(pointer, _, rule): (&str, bool, &str)| (pointer.to_owned(), rule_of(pointer, rule));
    checks.into_iter().filter(|(_, holds, _)| !holds).map(fault).collect::<Vec<_>>().into_iter()
}

/// `optimizer` as a bare name or an object.
mod optimizer_document {
    use super::Optimizer;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Document {
        Name(String),
        Full(Optimizer),
    }

    pub fn serialize<S: Serializer>(optimizer: &Optimizer, serializer: S) -> Result<S::Ok, S::Error> {
        match *optimizer {
            Optimizer::ADAM => "adam".serialize(serializer),
            Optimizer::SGD => "sgd".serialize(serializer),
            Optimizer::RMSPROP => "rmsprop".serialize(serializer),
            other => other.serialize(serializer),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Optimizer, D::Error> {
        match Document::deserialize(deserializer)? {
            Document::Full(optimizer) => Ok(optimizer),
            Document::Name(name) => match name.as_str() {
                "adam" => Ok(Optimizer::ADAM),
                "sgd" => Ok(Optimizer::SGD),
                "rmsprop" => Ok(Optimizer::RMSPROP),
                _ => Err(serde::de::Error::custom("optimizers are `adam`, `sgd` and `rmsprop`")),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_have_no_faults() {
        assert_eq!(TrainingSettings::default().faults(), []);
        for optimizer in [Optimizer::ADAM, Optimizer::SGD, Optimizer::RMSPROP] {
            assert_eq!(TrainingSettings { optimizer, ..Default::default() }.faults(), []);
        }
    }

    #[test]
    fn every_setting_out_of_range_is_pointed_at() {
        let good = TrainingSettings::default;
        let adam = |beta2, epsilon| Optimizer::Adam { beta1: 0.9, beta2, epsilon };
        let cases = [
            ("/learning_rate", TrainingSettings { learning_rate: f64::NAN, ..good() }),
            ("/learning_rate", TrainingSettings { learning_rate: 0.0, ..good() }),
            ("/learning_rate", TrainingSettings { learning_rate: 10.5, ..good() }),
            ("/weight_decay", TrainingSettings { weight_decay: -0.01, ..good() }),
            ("/weight_decay", TrainingSettings { weight_decay: 1.5, ..good() }),
            ("/weight_decay", TrainingSettings { weight_decay: f64::NAN, ..good() }),
            ("/weight_decay", TrainingSettings { weight_decay: 0.5, learning_rate: 2.0, ..good() }),
            ("/clip_norm", TrainingSettings { clip_norm: Some(0.0), ..good() }),
            ("/clip_norm", TrainingSettings { clip_norm: Some(f64::INFINITY), ..good() }),
            ("/clip_norm", TrainingSettings { clip_norm: Some(f64::NAN), ..good() }),
            ("/average_decay", TrainingSettings { average_decay: 1.0, ..good() }),
            ("/average_decay", TrainingSettings { average_decay: -0.1, ..good() }),
            ("/average_decay", TrainingSettings { average_decay: f64::NAN, ..good() }),
            (
                "/schedule",
                TrainingSettings { schedule: Schedule::Wsd { warmup: 1, stable: 1, decay: 1, floor: 0.0 }, ..good() },
            ),
            ("/optimizer/epsilon", TrainingSettings { optimizer: adam(0.999, 1e-39), ..good() }),
            ("/batch", TrainingSettings { batch: 0, ..good() }),
            ("/batch", TrainingSettings { batch: 4_097, ..good() }),
            ("/steps_per_row", TrainingSettings { steps_per_row: -1.0, ..good() }),
            ("/steps_per_row", TrainingSettings { steps_per_row: f64::INFINITY, ..good() }),
            ("/replay_share", TrainingSettings { replay_share: 1.0, ..good() }),
            ("/round_rows", TrainingSettings { round_rows: 0, ..good() }),
            ("/round_wait_ms", TrainingSettings { round_wait_ms: 600_000, ..good() }),
            ("/publish_rows", TrainingSettings { publish_rows: 0, ..good() }),
            ("/gate_rows", TrainingSettings { gate_rows: 0, ..good() }),
            ("/gate_patience", TrainingSettings { gate_patience: 0, ..good() }),
            ("/holdout_share", TrainingSettings { holdout_share: -0.1, ..good() }),
            ("/max_passes", TrainingSettings { max_passes: 1_000_000, ..good() }),
            ("/growth_lr_factor", TrainingSettings { growth_lr_factor: 0.0, ..good() }),
            ("/optimizer/beta2", TrainingSettings { optimizer: adam(1.0, 1e-8), ..good() }),
            ("/optimizer/epsilon", TrainingSettings { optimizer: adam(0.999, 0.0), ..good() }),
            ("/optimizer/momentum", TrainingSettings { optimizer: Optimizer::Sgd { momentum: 1.0 }, ..good() }),
            (
                "/optimizer/decay",
                TrainingSettings { optimizer: Optimizer::RmsProp { decay: -0.5, epsilon: 1e-8 }, ..good() },
            ),
        ];
        for (pointer, settings) in cases {
            let faults = settings.faults();
            assert_eq!(faults.iter().map(|fault| fault.0.as_str()).collect::<Vec<_>>(), [pointer], "{settings:?}");
        }
    }

    #[test]
    fn settings_from_before_a_setting_learn_on_as_they_did() {
        let mut document = serde_json::to_value(TrainingSettings::default()).unwrap();
        let absent = [
            ("weight_decay", 0.0.into()),
            ("schedule", "constant".into()),
            ("clip_norm", serde_json::Value::Null),
            ("average_decay", 0.0.into()),
        ];
        for (key, default) in absent {
            assert_eq!(document.as_object_mut().unwrap().remove(key), Some(default), "{key}");
        }
        assert_eq!(serde_json::from_value::<TrainingSettings>(document).unwrap(), TrainingSettings::default());
    }

    #[test]
    fn clipping_averages_and_schedules_read_back() {
        let text = r#"{"clip_norm": 1.5, "average_decay": 0.99, "schedule": {"kind": "warmup", "steps": 200}}"#;
        let settings: TrainingSettings = serde_json::from_str(text).unwrap();
        assert_eq!((settings.clip_norm, settings.average_decay), (Some(1.5), 0.99));
        assert_eq!(settings.schedule, Schedule::Warmup { steps: 200 });
        assert_eq!(settings.faults(), []);
        let document = serde_json::to_value(&settings).unwrap();
        assert_eq!(serde_json::from_value::<TrainingSettings>(document).unwrap(), settings);
    }

    #[test]
    fn an_optimizer_is_a_name_or_an_object() {
        let read = |text: &str| serde_json::from_str::<TrainingSettings>(text).map(|settings| settings.optimizer);
        assert_eq!(read(r#"{"optimizer": "sgd"}"#).unwrap(), Optimizer::SGD);
        let full = r#"{"optimizer": {"kind": "sgd", "momentum": 0.5}}"#;
        assert_eq!(read(full).unwrap(), Optimizer::Sgd { momentum: 0.5 });
        assert!(read(r#"{"optimizer": "lion"}"#).is_err());
        assert!(read(r#"{"speed": 1}"#).is_err());
    }
}
