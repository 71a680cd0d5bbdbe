//! What would grow: wider or deeper, and by how much, within the limits.
//!
//! A pure search over plans of `growth`; it proposes the largest growth that fits, or the smallest worthwhile one with its
//! size, so that the decision can say which limit stands against it. Called by [`super::decision`] only.

use crate::growth::{Deeper, DeeperKind, Extent, GrowthRequest, Nodes, Plan, Refusal, Split, Wider, plan};
use crate::network::{Network, Node};

use super::settings::DataVolume;

/// A widening by less than this factor of the parameters is not worth the disturbance: a learner that always grew as far
/// as its bound allows would grow by a few units every few rows. (A rule with a smaller `max_factor` asks for less.)
const WORTHWHILE: f64 = 1.5;

/// The share of `max_factor`'s gain that is worthwhile where that factor is small.
const WORTHWHILE_GAIN: f64 = 0.5;

/// Factors are tried in hundredths, so that a request reads well.
const HUNDREDTHS: u32 = 100;

/// How many parameters a grown network may have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// By the volume of the data.
    pub bound: u64,
    /// By the budget.
    pub budget: u64,
    /// By the factor that one growth may have.
    pub largest: u64,
}

/// What would grow.
#[derive(Debug)]
pub(super) struct Proposal {
    /// The request, or why there is none whatever bound and budget allow.
    pub request: Result<GrowthRequest, String>,
    /// Parameters after it. It fits the limits exactly if this is within them.
    pub parameters: u64,
    /// Why this kind and size.
    pub detail: String,
}

impl Limits {
    fn smallest(&self) -> (u64, &'static str) {
        let all = [(self.largest, "max_factor"), (self.bound, "bound"), (self.budget, "budget")];
        all.into_iter().min_by_key(|limit| limit.0).unwrap_or(all[0])
    }
}

/// Deeper when the hidden layers are wide for their number, wider otherwise; one that cannot be done gives way to the
/// other.
pub(super) fn propose(network: &Network, rule: &DataVolume, limits: &Limits) -> Proposal {
    let hidden = hidden_layers(network);
    let (mean, depth) = (mean_width(network, &hidden), hidden.len());
    let ratio = mean / depth.max(1) as f64;
    let shape = format!("mean hidden width {mean:.1} / depth {depth} = {ratio:.1}, limit {}", rule.width_per_layer);
    let deeper = |refused: &mut Vec<String>| deeper(network, &hidden, refused);
    let wider = |refused: &mut Vec<String>| wider(network, limits, rule, refused);
    let mut refused = Vec::new();
    let found = if ratio > rule.width_per_layer {
        deeper(&mut refused).or_else(|| wider(&mut refused))
    } else {
        wider(&mut refused).or_else(|| deeper(&mut refused))
    };
    match found {
        Some((plan, detail)) => {
            // An added layer may be more than the factor allows in a very small network; it is one layer all the same.
            let request = Ok(plan.request);
            Proposal { request, parameters: plan.parameters_after, detail: format!("{detail}; {shape}") }
        }
        None => {
            let detail = format!("no worthwhile growth can be done: {}", refused.join("; "));
            Proposal { request: Err(detail), parameters: network.parameter_count(), detail: String::new() }
        }
    }
}

/// The nodes that produce channels, but for the last, which makes the network's outputs.
fn hidden_layers(network: &Network) -> Vec<&Node> {
    let mut layers: Vec<&Node> = network.nodes().iter().filter(|node| node.op.produces_channels()).collect();
    layers.pop();
    layers
}

fn mean_width(network: &Network, hidden: &[&Node]) -> f64 {
    let widths = hidden.iter().filter_map(|node| network.shape(&node.id)).map(|shape| shape.channels() as f64);
    widths.sum::<f64>() / hidden.len().max(1) as f64
}

/// One more layer after the last hidden one: an identity where that is exact, a residual branch elsewhere.
fn deeper(network: &Network, hidden: &[&Node], refused: &mut Vec<String>) -> Option<(Plan, String)> {
    let Some(last) = hidden.last() else {
        refused.push("there is no hidden layer to deepen after".into());
        return None;
    };
    for kind in [DeeperKind::Identity, DeeperKind::Residual] {
        let request = GrowthRequest::Deeper(Deeper::plain(Nodes::These(vec![last.id.clone()]), kind));
        match plan(network, &request, 0) {
            Ok(plan) => return Some((plan, format!("deeper after {}", last.id))),
            Err(refusal) => refused.push(refusal.to_string()),
        }
    }
    None
}

/// All hidden layers wider, by the largest factor that fits. Where none fits, the smallest worthwhile plan: it exceeds
/// bound or budget, and the decision says which.
fn wider(network: &Network, limits: &Limits, rule: &DataVolume, refused: &mut Vec<String>) -> Option<(Plan, String)> {
    let (limit, name) = limits.smallest();
    let most = (rule.max_factor * f64::from(HUNDREDTHS)) as u32;
    let least = WORTHWHILE.min(1.0 + WORTHWHILE_GAIN * (rule.max_factor - 1.0));
    let worthwhile = (network.parameter_count() as f64 * least).ceil() as u64;
    let at = |hundredths: u32| plan(network, &widened(hundredths), 0);
    let largest = match at(most) {
        Ok(plan) => plan,
        Err(refusal) => {
            refused.push(refusal.to_string());
            return None;
        }
    };
    if largest.parameters_after < worthwhile {
        refused.push(format!("widening by {} gives less than {least} × the parameters", rule.max_factor));
        return None;
    }
    if largest.parameters_after <= limit {
        return Some((largest, format!("wider by the largest factor, {}", rule.max_factor)));
    }
    match search(most, |parameters| parameters <= limit, &at) {
        Ok(Some(plan)) if plan.parameters_after >= worthwhile => {
            Some((plan, format!("wider as far as `{name}` allows")))
        }
        Ok(_) => smallest_worthwhile(most, worthwhile, &at, refused),
        Err(refusal) => {
            refused.push(refusal.to_string());
            None
        }
    }
}

fn smallest_worthwhile(
    most: u32,
    worthwhile: u64,
    at: &impl Fn(u32) -> Result<Plan, Refusal>,
    refused: &mut Vec<String>,
) -> Option<(Plan, String)> {
    let (mut low, mut high) = (HUNDREDTHS, most);
    while low + 1 < high {
        let middle = low.midpoint(high);
        match at(middle) {
            Ok(plan) if plan.parameters_after >= worthwhile => high = middle,
            _ => low = middle,
        }
    }
    match at(high) {
        Ok(plan) => Some((plan, "the smallest widening that is worth it".into())),
        Err(refusal) => {
            refused.push(refusal.to_string());
            None
        }
    }
}

/// The plan of the largest factor below `most` whose size fits; `None` if none does. Parameters rise with the factor.
fn search(
    most: u32,
    fits: impl Fn(u64) -> bool,
    at: &impl Fn(u32) -> Result<Plan, Refusal>,
) -> Result<Option<Plan>, Refusal> {
    let (mut low, mut high, mut best) = (HUNDREDTHS, most, None);
    while low + 1 < high {
        let middle = low.midpoint(high);
        let plan = at(middle)?;
        if fits(plan.parameters_after) {
            (low, best) = (middle, Some(plan));
        } else {
            high = middle;
        }
    }
    Ok(best)
}

fn widened(hundredths: u32) -> GrowthRequest {
    let factor = f64::from(hundredths) / f64::from(HUNDREDTHS);
    GrowthRequest::Wider(Wider { nodes: Nodes::All, extent: Extent::Factor(factor), split: Split::Replicate })
}
