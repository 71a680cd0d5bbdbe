//! Classes: new outputs at the end. Old logits stay as they are, bit for bit; the new ones start with zero weights and a
//! bias under which all of them together take at most ε of the probability.

use crate::network::{AxisRole, Network, ParameterKind, ParameterSpec};

use super::inference::Channels;
use super::pieces::Fixture;
use super::plan::{Design, Preserves};
use super::refusal::Refusal;
use super::step::{Added, NewRows, Step, UnitGrowth};
use super::student::{self, Sizes, refuse};

/// What the growth would do, or why not. `log_sum_exp` is the smallest one of the old logits over the probe rows.
pub(super) fn design(network: &Network, add: usize, epsilon: f64, log_sum_exp: f64) -> Result<Design, Refusal> {
    let request = |reason: &str| Err(Refusal::Request { reason: reason.into() });
    if add == 0 {
        return request("a growth of classes adds at least one");
    }
    if !(epsilon > 0.0 && epsilon < 1.0) {
        return request("the probability that new classes may take is above 0 and below 1");
    }
    if !(bias(add, epsilon, log_sum_exp) as f32).is_finite() {
        return request("the log-sum-exp of the old logits is no finite number");
    }
    let output = network.output();
    let biases = network.node_parameters(&output.id).iter().filter(|spec| is_bias(spec)).count();
    if !output.op.produces_channels() || biases != 1 || network.output_shape().plane().is_some() {
        let reason = "new classes need a layer with one bias as the network's last node";
        return Err(refuse(&output.id, reason.into()));
    }
    let channels = Channels::infer(network);
    let [segment] = channels.of(network, &output.id)[..] else {
        return Err(refuse(&output.id, "its channels are shared with other nodes".into()));
    };
    if channels.pieces.fixtures(segment.piece) != [Fixture::Output] {
        return Err(refuse(&output.id, channels.why_fixed(network, &output.id)));
    }
    let size = channels.pieces.units(segment.piece).checked_add(add);
    let too_many = || Refusal::Request { reason: "the network would have more classes than can be counted".into() };
    let sizes = Sizes::from([(segment.piece, size.ok_or_else(too_many)?)]);
    let student = student::student(network, &channels, &sizes)?;
    let grow = |piece, _| UnitGrowth { units: channels.pieces.units(piece), added: Added::New(add) };
    let new_rows = NewRows::Biased(bias(add, epsilon, log_sum_exp) as f32);
    let step = Step { new_rows, ..student::step(network, &channels, &sizes, student, grow) };
    Ok(Design { steps: vec![step], preserves: Preserves::Bits })
}

/// The bias of each of `add` new classes: ln ε + `log_sum_exp` − ln `add`.
pub(super) fn bias(add: usize, epsilon: f64, log_sum_exp: f64) -> f64 {
    epsilon.ln() + log_sum_exp - (add as f64).ln()
}

/// Whether a parameter of the output layer is its bias: it runs over the outputs and consumes nothing.
pub(super) fn is_bias(spec: &ParameterSpec) -> bool {
    spec.kind == ParameterKind::Trained
        && spec.axes.contains(&AxisRole::Out)
        && !spec.axes.iter().any(|role| matches!(role, AxisRole::In { .. }))
}
