//! The decision and its reasons: when to grow.
//!
//! `decide` is pure and looks at every term, also after one has spoken against growing, so that the journal shows the
//! whole picture. What would grow is [`super::room`]'s part. Called by the trainer after rounds and passes.

use serde::{Deserialize, Serialize};

use crate::growth::GrowthRequest;
use crate::network::Network;

use super::room::{self, Limits};
use super::settings::{DataVolume, PolicySettings};
use super::signals::Signals;

/// A loss that becomes worse by more than so many times the flat improvement has not flattened: the stream has changed or
/// learning goes astray, and neither is cured by a larger network.
const WORSE: f64 = 2.0;

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

impl Decision {
    /// Whether `other` says the same: the same growth, and the same terms hold. The numbers may differ. A journal of
    /// decisions needs only those that say something new.
    pub fn says_the_same(&self, other: &Self) -> bool {
        let terms = |decision: &Self| -> Vec<(String, bool)> {
            decision.reasons.iter().map(|reason| (reason.term.clone(), reason.holds)).collect()
        };
        self.grow == other.grow && terms(self) == terms(other)
    }
}

/// The rule: a function of its arguments alone.
pub fn decide(settings: &PolicySettings, signals: &Signals, network: &Network) -> Decision {
    let rule = match settings {
        PolicySettings::DataVolume(rule) => rule,
        PolicySettings::Manual { .. } => {
            let detail = "the policy is `manual`: this learner grows when an operator says so".into();
            return Decision { grow: None, reasons: vec![reason("manual", false, detail)] };
        }
    };
    let mut reasons = vec![refractory(rule, signals), flat(rule, signals), overfitting(rule, signals), gate(signals)];
    let timely = reasons.iter().all(|reason| reason.holds);
    let grow = next_growth(rule, signals, network, &mut reasons);
    Decision { grow: grow.filter(|_| timely), reasons }
}

/// What the rule would do next, whether or not it thinks that it is time: the operator's order `auto`. Size limits (budget,
/// bound) still hold; the terms of timing (flat, overfitting, gate, refractory) are left out. `manual` decides as `data_volume`
/// with its defaults and its own budget.
pub fn decide_now(settings: &PolicySettings, signals: &Signals, network: &Network) -> Decision {
    let rule = match settings {
        PolicySettings::DataVolume(rule) => rule.clone(),
        PolicySettings::Manual { max_parameters } => {
            DataVolume { max_parameters: *max_parameters, ..DataVolume::default() }
        }
    };
    let mut reasons = Vec::new();
    let grow = next_growth(&rule, signals, network, &mut reasons);
    Decision { grow, reasons }
}

/// Enough rows since the last growth for its effect to show. Passes over the whole history that have settled since then
/// show it as well as new rows would, so a learner whose stream is quiet still reaches the size that its data allow.
fn refractory(rule: &DataVolume, signals: &Signals) -> Reason {
    if signals.settled {
        return reason("refractory", true, "passes over history have settled since the last growth".into());
    }
    let share = rule.refractory_share * signals.examples_at_growth as f64;
    let wanted = (rule.refractory_rows as f64).max(share).ceil();
    let detail = format!("{} rows since the last growth, {wanted} are waited for", signals.rows_since_growth);
    reason("refractory", signals.rows_since_growth as f64 >= wanted, detail)
}

/// Learning has flattened: by the progressive loss (prediction before learning), or by the training loss while there is
/// no progressive one.
fn flat(rule: &DataVolume, signals: &Signals) -> Reason {
    if signals.settled {
        return reason("flat", true, "passes over history no longer improve the loss".into());
    }
    let progressive = signals.progressive_loss.zip(signals.progressive_loss_before);
    let training = signals.training_loss.zip(signals.training_loss_before);
    let (name, newest, before) = match (progressive, training) {
        (Some((newest, before)), _) => ("progressive", newest, before),
        (None, Some((newest, before))) => ("training", newest, before),
        (None, None) => {
            return reason("flat", false, "too few rows since the last growth to compare two windows".into());
        }
    };
    let improvement = if before > 0.0 { (before - newest) / before } else { 0.0 };
    let worse = WORSE * rule.flat_improvement;
    let detail = format!(
        "the {name} loss went from {before:.4} to {newest:.4}, {:.1} % better; from {:.1} % to {:.1} % counts as flat",
        100.0 * improvement,
        -100.0 * worse,
        100.0 * rule.flat_improvement
    );
    reason("flat", improvement < rule.flat_improvement && improvement > -worse, detail)
}

/// What the gate refuses is worse than what is served: a larger network is not what it lacks.
fn gate(signals: &Signals) -> Reason {
    let detail = format!("the gate refused the newest {} candidates", signals.gate_refusals);
    reason("gate", signals.gate_refusals == 0, detail)
}

/// The network does not overfit: holds while nothing is measured.
fn overfitting(rule: &DataVolume, signals: &Signals) -> Reason {
    let Some((holdout, training)) = signals.holdout_loss.zip(signals.training_loss) else {
        return reason("overfitting", true, "holdout or training loss is not measured yet".into());
    };
    let limit = training * (1.0 + rule.max_gap);
    let detail = format!("holdout loss {holdout:.4} against training loss {training:.4}; up to {limit:.4} is accepted");
    reason("overfitting", holdout <= limit, detail)
}

/// The growth that fits, with the terms of size added to `reasons`.
fn next_growth(
    rule: &DataVolume,
    signals: &Signals,
    network: &Network,
    reasons: &mut Vec<Reason>,
) -> Option<GrowthRequest> {
    let examples = signals.examples as f64;
    let limits = Limits {
        bound: (rule.parameters_per_example * examples.powf(rule.exponent)) as u64,
        budget: rule.max_parameters,
        largest: (network.parameter_count() as f64 * rule.max_factor) as u64,
    };
    let proposal = room::propose(network, rule, &limits);
    let wanted = proposal.parameters;
    reasons.push(reason(
        "bound",
        wanted <= limits.bound,
        format!(
            "{wanted} parameters are wanted; {} examples allow {} × {0}^{} = {}",
            signals.examples, rule.parameters_per_example, rule.exponent, limits.bound
        ),
    ));
    reasons.push(reason(
        "budget",
        wanted <= limits.budget,
        format!("{wanted} parameters are wanted; `max_parameters` is {}", limits.budget),
    ));
    match proposal.request {
        Ok(request) => {
            let fits = wanted <= limits.bound && wanted <= limits.budget;
            reasons.push(reason("size", true, proposal.detail));
            fits.then_some(request)
        }
        Err(detail) => {
            reasons.push(reason("no_room", false, detail));
            None
        }
    }
}

fn reason(term: &str, holds: bool, detail: String) -> Reason {
    Reason { term: term.to_owned(), holds, detail }
}
