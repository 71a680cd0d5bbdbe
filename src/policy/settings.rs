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
    /// The most that one widening multiplies the parameters by. A deepening adds a single layer, whatever its share: a
    /// narrow input would forbid it for ever otherwise.
    pub max_factor: f64,
    /// After a growth this many new rows, as a share of those seen at the growth, pass before the next, unless passes over
    /// the whole history have settled since.
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
            width_per_layer: 30.0,
            max_factor: 2.0,
            refractory_share: 0.1,
            refractory_rows: 100,
            flat_improvement: 0.05,
            max_gap: 3.0,
        }
    }
}

/// A smaller factor could never make a worthwhile growth.
const MIN_FACTOR: f64 = 1.1;

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
        let budget = ("/max_parameters", self.max_parameters() >= 1, "is a whole number of 1 or more");
        let mut checks = vec![budget];
        if let Self::DataVolume(rule) = self {
            let share = |value: f64| (0.0..1.0).contains(&value);
            let within = |value: f64, low: f64, high: f64| value > low && value <= high;
            checks.extend([
                (
                    "/parameters_per_example",
                    within(rule.parameters_per_example, 0.0, 1e6),
                    "is a number above 0 and up to 1000000",
                ),
                ("/exponent", within(rule.exponent, 0.0, 2.0), "is a number above 0 and up to 2"),
                ("/width_per_layer", within(rule.width_per_layer, 0.0, 1e6), "is a number above 0 and up to 1000000"),
                ("/max_factor", (MIN_FACTOR..=100.0).contains(&rule.max_factor), "is a number from 1.1 to 100"),
                ("/refractory_share", (0.0..=100.0).contains(&rule.refractory_share), "is a number from 0 to 100"),
                ("/flat_improvement", share(rule.flat_improvement), "is a number from 0 to below 1"),
                ("/max_gap", (0.0..=1e6).contains(&rule.max_gap), "is a number from 0 to 1000000"),
            ]);
        }
        let fault =
            |(pointer, _, rule): (&str, bool, &str)| (pointer.to_owned(), format!("`{}` {rule}", &pointer[1..]));
        checks.into_iter().filter(|check| !check.1).map(fault).collect()
    }

    /// The budget for trained parameters, whatever the rule.
    pub fn max_parameters(&self) -> u64 {
        match self {
            Self::DataVolume(rule) => rule.max_parameters,
            Self::Manual { max_parameters } => *max_parameters,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_have_no_faults() {
        assert_eq!(PolicySettings::default().faults(), []);
        assert_eq!(serde_json::from_str::<PolicySettings>(r#"{"kind": "manual"}"#).unwrap().faults(), []);
    }

    #[test]
    fn every_constant_out_of_range_is_pointed_at() {
        let good = DataVolume::default;
        let cases = [
            ("/max_parameters", DataVolume { max_parameters: 0, ..good() }),
            ("/parameters_per_example", DataVolume { parameters_per_example: f64::NAN, ..good() }),
            ("/exponent", DataVolume { exponent: 0.0, ..good() }),
            ("/width_per_layer", DataVolume { width_per_layer: -1.0, ..good() }),
            ("/max_factor", DataVolume { max_factor: 1.0, ..good() }),
            ("/refractory_share", DataVolume { refractory_share: f64::INFINITY, ..good() }),
            ("/flat_improvement", DataVolume { flat_improvement: 1.0, ..good() }),
            ("/max_gap", DataVolume { max_gap: -0.1, ..good() }),
        ];
        for (pointer, rule) in cases {
            let faults = PolicySettings::DataVolume(rule).faults();
            assert_eq!(faults.iter().map(|fault| fault.0.as_str()).collect::<Vec<_>>(), [pointer]);
        }
        assert_eq!(PolicySettings::Manual { max_parameters: 0 }.faults()[0].0, "/max_parameters");
    }

    #[test]
    fn a_document_names_its_rule_and_nothing_unknown() {
        let read = |text: &str| serde_json::from_str::<PolicySettings>(text);
        let rule = read(r#"{"kind": "data_volume", "max_parameters": 5}"#).unwrap();
        assert_eq!(rule, PolicySettings::DataVolume(DataVolume { max_parameters: 5, ..DataVolume::default() }));
        assert!(read(r#"{"kind": "data_volume", "hurry": 1}"#).is_err());
        assert!(read(r#"{"kind": "manual", "hurry": 1}"#).is_err());
        assert!(read(r#"{"kind": "whim"}"#).is_err());
    }
}
