//! How a learner learns: what its document says under `training`.

use serde::{Deserialize, Serialize};

use crate::compute::optimizer::Optimizer;

/// The settings of training; every one has a default that serves small and large streams.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainingSettings {
    /// `"adam"`, `"sgd"`, `"rmsprop"`, or an object with `kind` and the constants.
    #[serde(with = "optimizer_document")]
    pub optimizer: Optimizer,
    /// The step size.
    pub learning_rate: f64,
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
    /// The learning rate after a growth, as a share of `learning_rate`.
    pub growth_lr_factor: f64,
    /// Steps until the learning rate is back.
    pub growth_warmup: u64,
}

impl Default for TrainingSettings {
    fn default() -> Self {
        Self {
            optimizer: Optimizer::ADAM,
            learning_rate: 0.001,
            batch: 32,
            seed: 1,
            steps_per_row: 0.25,
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
        unimplemented!("helper E")
    }
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
