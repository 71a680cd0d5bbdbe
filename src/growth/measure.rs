//! Measuring: what a plan leaves to data, the statistics of new BatchNorms (Net2Net §2.3), becomes numbers in it.
//!
//! The new norm stands behind an identity, so what it normalises is what the teacher gives at that place. Afterwards the
//! plan is complete: applying it again, anywhere, gives the same bits.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

use crate::network::op::ReferenceBatch;
use crate::network::reference::{self, ReferenceParameters};
use crate::network::{Mode, Network, NodeId, Parameters};

use super::apply::GrowthError;
use super::certificate::{CHUNK, Probe};
use super::plan::Plan;
use super::step::{Fill, Statistic};

/// The plan with every statistic measured on the rows of the probe, in f64. One that has none is given back as it is.
///
/// # Errors
/// Rows or parameters that do not fit the teacher.
pub fn measure(mut plan: Plan, teacher: &Network, parameters: &Parameters, probe: &Probe) -> Result<Plan, GrowthError> {
    let fills = || plan.steps.iter().flat_map(|step| step.fills.values());
    let wanted: BTreeSet<NodeId> = fills()
        .filter_map(|fill| match fill {
            Fill::Measured { node, .. } => Some(node.clone()),
            _ => None,
        })
        .collect();
    if wanted.is_empty() {
        return Ok(plan);
    }
    let rows = probe.real_and_random(teacher)?;
    let statistics = statistics(teacher, &reference::widen(parameters)?, &rows, &wanted)?;
    for fill in plan.steps.iter_mut().flat_map(|step| step.fills.values_mut()) {
        if let Fill::Measured { node, statistic } = fill {
            let channels = statistics.get(node).ok_or_else(|| GrowthError::Mismatch(format!("it lacks {node}")))?;
            *fill = Fill::Values(channels.iter().map(|channel| channel.number(*statistic)).collect());
        }
    }
    Ok(plan)
}

/// Mean and variance of one channel over rows and positions.
struct Channel {
    mean: f64,
    variance: f64,
}

impl Channel {
    fn number(&self, statistic: Statistic) -> f32 {
        match statistic {
            Statistic::Mean => self.mean as f32,
            Statistic::Variance => self.variance as f32,
            Statistic::Deviation { epsilon } => (f64::from(self.variance as f32) + epsilon).sqrt() as f32,
        }
    }
}

fn statistics(
    teacher: &Network,
    parameters: &ReferenceParameters,
    rows: &[Vec<f32>],
    wanted: &BTreeSet<NodeId>,
) -> Result<BTreeMap<NodeId, Vec<Channel>>, GrowthError> {
    let place = |id: &NodeId| teacher.position(id).ok_or_else(|| GrowthError::Mismatch(format!("it lacks {id}")));
    let places: Vec<usize> = wanted.iter().map(place).collect::<Result<_, _>>()?;
    // A few rows at a time, of which only the wanted tensors are kept: those of the whole network would be gigabytes.
    let kept = |rows: &[Vec<f32>]| -> Result<Vec<ReferenceBatch>, GrowthError> {
        let batch = ReferenceBatch::of(teacher.input(), rows);
        let outputs = reference::outputs(teacher, parameters, &batch, Mode::Evaluate)?;
        Ok(places.iter().map(|&at| outputs[at].clone()).collect())
    };
    let mut chunks = rows.par_chunks(CHUNK).map(kept).collect::<Result<Vec<_>, _>>()?.into_iter();
    let mut all = chunks.next().ok_or_else(|| GrowthError::Mismatch("there are no rows to measure on".into()))?;
    for (whole, part) in chunks.flat_map(|chunk| chunk.into_iter().enumerate()) {
        all[whole].rows += part.rows;
        all[whole].values.extend(part.values);
    }
    Ok(wanted.iter().cloned().zip(all.iter().map(channels)).collect())
}

fn channels(batch: &ReferenceBatch) -> Vec<Channel> {
    let (channels, positions) = (batch.shape.channels(), batch.shape.positions());
    let count = (batch.rows * positions) as f64;
    let of = |channel: usize| {
        let planes = batch.values.chunks_exact(positions).skip(channel).step_by(channels);
        planes.flatten().copied()
    };
    (0..channels)
        .map(|channel| {
            let mean = of(channel).sum::<f64>() / count;
            let variance = of(channel).map(|value| (value - mean).powi(2)).sum::<f64>() / count;
            Channel { mean, variance }
        })
        .collect()
}
