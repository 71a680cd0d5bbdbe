//! What a learner's document says about its policy.

use serde::{Deserialize, Serialize};

/// The rule and its constants. Windows count rows; one set of defaults serves small and large streams.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum PolicySettings {
    /// Grow as the data volume allows and learning flattens.
    DataVolume(DataVolume),
    /// Never on its own.
    Manual {
        /// Growths that would exceed it are refused.
        #[serde(default = "default_max_parameters")]
        max_parameters: u64,
    },
}

/// The constants of the rule `data_volume`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataVolume {
    /// The budget for trained parameters.
    pub max_parameters: u64,
    /// `c` of the bound `parameters <= c * examples^beta`.
    pub parameters_per_example: f64,
    /// `beta` of the bound.
    pub exponent: f64,
    /// Deepen when mean hidden width / depth exceeds this.
    pub width_per_layer: f64,
    /// The most that one growth multiplies the parameters by.
    pub max_factor: f64,
    /// After a growth this many rows, as a share of those seen at the growth, pass before the next.
    pub refractory_share: f64,
    /// And at least this many rows.
    pub refractory_rows: u64,
    /// Learning has flattened when the loss improves by less than this, relative, from one window to the next.
    pub flat_improvement: f64,
    /// Overfitting: holdout loss above training loss by more than this share of it.
    pub max_gap: f64,
}

impl Default for DataVolume {
    fn default() -> Self {
        Self {
            max_parameters: default_max_parameters(),
            parameters_per_example: 100.0,
            exponent: 0.7,
            width_per_layer: 24.0,
            max_factor: 2.0,
            refractory_share: 0.1,
            refractory_rows: 100,
            flat_improvement: 0.05,
            max_gap: 1.0,
        }
    }
}

fn default_max_parameters() -> u64 {
    1_000_000
}

impl Default for PolicySettings {
    fn default() -> Self {
        Self::DataVolume(DataVolume::default())
    }
}

impl PolicySettings {
    /// What is wrong with the settings: a JSON pointer below `policy` and a sentence; empty if nothing is.
    pub fn faults(&self) -> Vec<(String, String)> {
        unimplemented!("helper E1")
    }

    /// The budget for trained parameters, whatever the rule.
    pub fn max_parameters(&self) -> u64 {
        match self {
            Self::DataVolume(rule) => rule.max_parameters,
            Self::Manual { max_parameters } => *max_parameters,
        }
    }
}
