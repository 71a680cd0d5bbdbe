//! A change of settings: what `PATCH /v1/learners/{learner}` carries, merged key by key into the document.
//!
//! Invariant: a patched document has no faults, and what a learner's past depends on (its seed and holdout) stays.
//! Called by the HTTP surface.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::learner::{LearnerDocument, below};
use super::settings::TrainingSettings;
use crate::policy::PolicySettings;
use crate::policy::settings::DataVolume;

/// The settings to change; keys that are absent stay as they are.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LearnerPatch {
    /// Keys of [`super::TrainingSettings`].
    #[serde(default)]
    pub training: Option<Map<String, Value>>,
    /// Keys of [`crate::policy::PolicySettings`]; another `kind` starts from that rule's defaults.
    #[serde(default)]
    pub policy: Option<Map<String, Value>>,
}

/// Settings that decided what was learned and what was held out from the first row on.
const FIXED: [&str; 2] = ["seed", "holdout_share"];

impl LearnerDocument {
    /// The document with the patch merged in, or what is wrong with it: JSON pointers and sentences. `null` puts a
    /// setting back to its default.
    pub fn apply_patch(&self, patch: &LearnerPatch) -> Result<Self, Vec<(String, String)>> {
        let mut patched = self.clone();
        let mut faults = Vec::new();
        if let Some(changes) = &patch.training {
            match merged(&self.training, &TrainingSettings::default(), changes) {
                Ok(training) => patched.training = training,
                Err(found) => faults.extend(below("/training", found)),
            }
            faults.extend(fixed_faults(&self.training, changes));
        }
        if let Some(changes) = &patch.policy {
            match self.patched_policy(changes) {
                Ok(policy) => patched.policy = policy,
                Err(found) => faults.extend(below("/policy", found)),
            }
        }
        faults.extend(below("/training", patched.training.faults()));
        faults.extend(below("/policy", patched.policy.faults()));
        if faults.is_empty() { Ok(patched) } else { Err(faults) }
    }

    fn patched_policy(&self, changes: &Map<String, Value>) -> Result<PolicySettings, Faults> {
        let budget = self.policy.max_parameters();
        let (current, default) = match changes.get("kind").and_then(Value::as_str) {
            Some("manual") => (manual(budget), manual(PolicySettings::default().max_parameters())),
            Some("data_volume") => (data_volume(&self.policy), PolicySettings::default()),
            None if !changes.contains_key("kind") => match self.policy {
                PolicySettings::Manual { .. } => {
                    (self.policy.clone(), manual(PolicySettings::default().max_parameters()))
                }
                PolicySettings::DataVolume(_) => (self.policy.clone(), PolicySettings::default()),
            },
            _ => return Err(vec![("/kind".into(), "policies are `data_volume` and `manual`".into())]),
        };
        merged(&current, &default, changes)
    }
}

type Faults = Vec<(String, String)>;

fn manual(max_parameters: u64) -> PolicySettings {
    PolicySettings::Manual { max_parameters }
}

/// The rule as it is, or with its defaults and the budget of the rule before.
fn data_volume(current: &PolicySettings) -> PolicySettings {
    match current {
        PolicySettings::DataVolume(rule) => PolicySettings::DataVolume(rule.clone()),
        other => {
            PolicySettings::DataVolume(DataVolume { max_parameters: other.max_parameters(), ..DataVolume::default() })
        }
    }
}

/// `current` with these keys replaced; a `null` takes the default's.
fn merged<T: Serialize + DeserializeOwned>(
    current: &T,
    default: &T,
    changes: &Map<String, Value>,
) -> Result<T, Faults> {
    let (base, defaults) = (object(current), object(default));
    let mut faults = Vec::new();
    let mut all = base.clone();
    for (key, value) in changes {
        let pointer = || format!("/{}", key.replace('~', "~0").replace('/', "~1"));
        let Some(default) = defaults.get(key) else {
            faults.push((pointer(), "there is no such setting".into()));
            continue;
        };
        let value = if value.is_null() { default } else { value };
        // Each change is tried alone, so that the fault can be pointed at; the values are not repeated.
        let mut alone = base.clone();
        alone.insert(key.clone(), value.clone());
        if serde_json::from_value::<T>(Value::Object(alone)).is_err() {
            faults.push((pointer(), "is of the wrong type for this setting".into()));
        }
        all.insert(key.clone(), value.clone());
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    serde_json::from_value(Value::Object(all)).map_err(|error| vec![(String::new(), error.to_string())])
}

fn fixed_faults(current: &TrainingSettings, changes: &Map<String, Value>) -> Faults {
    let current = object(current);
    let moved = |key: &&str| changes.get(*key).is_some_and(|value| current.get(*key) != Some(value));
    let fault = |key| {
        let detail = format!("`{key}` is fixed when a learner is created: what was learned so far depends on it");
        (format!("/training/{key}"), detail)
    };
    FIXED.into_iter().filter(moved).map(fault).collect()
}

fn object(settings: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(settings) {
        Ok(Value::Object(object)) => object,
        // Settings are structures of numbers and names, with finite numbers by their own `faults`.
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document() -> LearnerDocument {
        serde_json::from_value(json!({
            "name": "digits",
            "task": {"kind": "regression"},
            "schema": {"features": [{"name": "x", "kind": "numeric"}]},
            "network": {"kind": "mlp", "hidden": [4]},
            "training": {"batch": 16, "learning_rate": 0.01},
        }))
        .unwrap()
    }

    fn patched(patch: Value) -> Result<LearnerDocument, Vec<String>> {
        let patch: LearnerPatch = serde_json::from_value(patch).unwrap();
        document().apply_patch(&patch).map_err(|faults| faults.into_iter().map(|fault| fault.0).collect())
    }

    #[test]
    fn named_settings_change_and_the_others_stay() {
        let document = patched(json!({"training": {"batch": 64}, "policy": {"max_factor": 1.5}})).unwrap();
        assert_eq!((document.training.batch, document.training.learning_rate), (64, 0.01));
        let PolicySettings::DataVolume(rule) = document.policy else { panic!("the kind was not changed") };
        assert_eq!((rule.max_factor, rule.exponent), (1.5, DataVolume::default().exponent));
    }

    #[test]
    fn the_optimizer_changes_by_name_or_with_constants() {
        use crate::compute::optimizer::Optimizer;
        let by_name = patched(json!({"training": {"optimizer": "sgd"}})).unwrap();
        assert_eq!(by_name.training.optimizer, Optimizer::SGD);
        let full = patched(json!({"training": {"optimizer": {"kind": "sgd", "momentum": 0.5}}})).unwrap();
        assert_eq!(full.training.optimizer, Optimizer::Sgd { momentum: 0.5 });
    }

    #[test]
    fn weight_decay_changes_within_its_range() {
        assert_eq!(patched(json!({"training": {"weight_decay": 0.01}})).unwrap().training.weight_decay, 0.01);
        assert_eq!(patched(json!({"training": {"weight_decay": -1.0}})).unwrap_err(), ["/training/weight_decay"]);
    }

    #[test]
    fn clipping_averages_and_schedules_change_and_go_back() {
        use crate::compute::optimizer::Schedule;
        let schedule = json!({"kind": "wsd", "warmup": 1, "stable": 2, "decay": 3, "floor": 0.5});
        let all = json!({"training": {"clip_norm": 2.0, "average_decay": 0.99, "schedule": schedule}});
        let changed = patched(all).unwrap();
        assert_eq!((changed.training.clip_norm, changed.training.average_decay), (Some(2.0), 0.99));
        assert!(matches!(changed.training.schedule, Schedule::Wsd { stable: 2, .. }));
        let back = json!({"training": {"clip_norm": null, "average_decay": null, "schedule": null}});
        let back = changed.apply_patch(&serde_json::from_value(back).unwrap()).unwrap();
        assert_eq!(back, document());
        let wrong = json!({"training": {"clip_norm": "long", "average_decay": true, "schedule": {"kind": "cosine"}}});
        let pointers = ["/training/average_decay", "/training/clip_norm", "/training/schedule"];
        assert_eq!(patched(wrong).unwrap_err(), pointers);
    }

    #[test]
    fn null_puts_a_setting_back_to_its_default() {
        let document = patched(json!({"training": {"batch": null}})).unwrap();
        assert_eq!(document.training.batch, TrainingSettings::default().batch);
    }

    #[test]
    fn another_kind_of_policy_keeps_the_budget() {
        let manual = patched(json!({"policy": {"kind": "manual"}})).unwrap();
        assert_eq!(manual.policy, PolicySettings::Manual { max_parameters: 1_000_000 });
        let patch = LearnerPatch { training: None, policy: json!({"kind": "data_volume"}).as_object().cloned() };
        let small = LearnerDocument { policy: PolicySettings::Manual { max_parameters: 777 }, ..document() };
        let back = small.apply_patch(&patch).unwrap();
        assert!(matches!(back.policy, PolicySettings::DataVolume(rule) if rule.max_parameters == 777));
    }

    #[test]
    fn the_seed_and_the_holdout_are_fixed() {
        assert_eq!(patched(json!({"training": {"seed": 2}})).unwrap_err(), ["/training/seed"]);
        assert_eq!(patched(json!({"training": {"holdout_share": 0.2}})).unwrap_err(), ["/training/holdout_share"]);
        assert!(patched(json!({"training": {"seed": 1, "holdout_share": 0.05}})).is_ok());
    }

    #[test]
    fn every_fault_is_pointed_at() {
        let wrong = json!({"training": {"batch": "many", "speed": 1, "round_rows": 8}, "policy": {"max_factor": []}});
        assert_eq!(patched(wrong).unwrap_err(), ["/training/batch", "/training/speed", "/policy/max_factor"]);
        assert_eq!(patched(json!({"training": {"batch": 0}})).unwrap_err(), ["/training/batch"]);
        assert_eq!(patched(json!({"policy": {"kind": "whim"}})).unwrap_err(), ["/policy/kind"]);
        assert_eq!(patched(json!({"policy": {"kind": "manual", "exponent": 1.0}})).unwrap_err(), ["/policy/exponent"]);
    }
}
