//! The decision and its reasons.

use serde::{Deserialize, Serialize};

use crate::growth::GrowthRequest;
use crate::network::Network;

use super::settings::PolicySettings;
use super::signals::Signals;

/// One term of the rule: whether it held, and in which numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    /// The term: `bound`, `budget`, `flat`, `overfitting`, `refractory`, `no_room`, …
    pub term: String,
    /// Whether it speaks for growing.
    pub holds: bool,
    /// A sentence with the numbers.
    pub detail: String,
}

/// What the policy decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// The growth to do; `None`: not now.
    pub grow: Option<GrowthRequest>,
    /// Every term that was looked at, also those that spoke against it.
    pub reasons: Vec<Reason>,
}

/// The rule: a function of its arguments alone.
pub fn decide(settings: &PolicySettings, signals: &Signals, network: &Network) -> Decision {
    let _ = (settings, signals, network);
    unimplemented!("helper E1")
}

/// What the rule would do next, whether or not it thinks that it is time: the operator's order `auto`. Size limits (budget,
/// bound) still hold; the terms of timing (flat, overfitting, refractory) are left out. `manual` decides as `data_volume`
/// with its defaults and its own budget.
pub fn decide_now(settings: &PolicySettings, signals: &Signals, network: &Network) -> Decision {
    let _ = (settings, signals, network);
    unimplemented!("helper E1")
}
