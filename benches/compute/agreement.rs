//! Both sides compute the same function: the same parameters in the same order, and the same logits for the same
//! numbers, in training and in evaluation. Checked before anything is timed.

use anyhow::{Context, bail, ensure};
use candle_core::{Device, Tensor};
use perennial::network::execute::{evaluate, forward};
use perennial::network::initialize::initialize;
use perennial::network::{Mode, Network, ParameterId, ParameterKind, ParameterSpec};
use serde_json::{Value, json};

use super::lines::Workload;
use super::peer::Peer;
use super::wave;

/// The largest difference of two logits, as a share of the largest: f32 sums in another order make some 1e-6 of it,
/// another function makes more than this.
const TOLERANCE: f64 = 1e-4;

/// How many rows the logits are of.
const ROWS: usize = 4;

/// Holds the peer's network to ours; gives the number of parameters.
///
/// # Errors
/// Another list of shapes, other logits, a peer that cannot answer.
pub fn check(workload: &Workload, peer: &mut Peer) -> anyhow::Result<u64> {
    let (name, network) = (workload.name, &workload.network);
    let theirs = peer.ask(&json!({ "describe": name }))?;
    if let Some(error) = theirs["error"].as_str() {
        bail!("{name}: the peer cannot build it: {error}");
    }
    let trained: Vec<(ParameterId, &ParameterSpec)> =
        network.parameters().filter(|(_, spec)| spec.kind == ParameterKind::Trained).collect();
    let shapes: Value = trained.iter().map(|(_, spec)| spec.dims.clone()).collect();
    ensure!(theirs["shapes"] == shapes, "{name}: the peer's parameters are {}, ours {shapes}", theirs["shapes"]);
    let (training, evaluation) = logits(network, &trained)?;
    for (mode, ours) in [("train", training), ("evaluate", evaluation)] {
        let theirs = numbers(&theirs[mode]).with_context(|| format!("{name}: no logits in mode {mode}"))?;
        let difference = relative_difference(&ours, &theirs);
        ensure!(difference <= TOLERANCE, "{name}: logits in mode {mode} differ by {difference:e} of the largest");
    }
    Ok(network.parameter_count())
}

/// Logits of the rows in training mode, then in evaluation with the running statistics that this left.
fn logits(network: &Network, trained: &[(ParameterId, &ParameterSpec)]) -> anyhow::Result<(Vec<f64>, Vec<f64>)> {
    let mut parameters = initialize(network, 1, &Device::Cpu)?;
    for (index, (id, spec)) in trained.iter().enumerate() {
        let values = wave::values(spec.elements(), wave::of_parameter(index)).into_iter();
        // Matrices are scaled as He's normal numbers are, so that signals neither vanish nor explode.
        let fan_in: usize = spec.dims[1..].iter().product();
        let values: Vec<f32> = match (spec.dims.len(), spec.name) {
            (1, "scale") => values.map(|value| 1.0 + 0.1 * value).collect(),
            (1, _) => values.map(|value| 0.1 * value).collect(),
            _ => values.map(|value| value * (4.0 / fan_in as f32).sqrt()).collect(),
        };
        parameters.insert(id.clone(), Tensor::from_vec(values, spec.dims.as_slice(), &Device::Cpu)?);
    }
    let shape = network.input();
    let values = wave::values(ROWS * shape.elements(), wave::INPUT);
    let batch = Tensor::from_vec(values, shape.batched(ROWS), &Device::Cpu)?;
    let pass = forward(network, &parameters, &batch, Mode::Train { seed: 1, step: 1 })?;
    parameters.extend(pass.statistics.clone());
    let evaluated = evaluate(network, &parameters, &batch)?;
    Ok((flat(&pass.output)?, flat(&evaluated)?))
}

fn flat(tensor: &Tensor) -> candle_core::Result<Vec<f64>> {
    Ok(tensor.flatten_all()?.to_vec1::<f32>()?.into_iter().map(f64::from).collect())
}

fn numbers(value: &Value) -> Option<Vec<f64>> {
    value.as_array()?.iter().map(Value::as_f64).collect()
}

/// The largest difference, as a share of our largest number; infinite where the lengths differ.
fn relative_difference(ours: &[f64], theirs: &[f64]) -> f64 {
    if ours.len() != theirs.len() {
        return f64::INFINITY;
    }
    let largest = ours.iter().fold(1e-6, |most: f64, value| most.max(value.abs()));
    let differences = ours.iter().zip(theirs).map(|(ours, theirs)| (ours - theirs).abs());
    // A number that is none must not pass for agreement.
    differences.fold(0.0, |most: f64, one| if one.is_nan() { f64::INFINITY } else { most.max(one) }) / largest
}
