//! Our side: a line as a function that does one call of it. The only module of the bench that knows the engine.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Instant;

use anyhow::ensure;
use candle_core::{Device, Tensor};
use perennial::compute::kernels::{Crew, Kernel};
use perennial::compute::optimizer::{Optimizer, Rate};
use perennial::network::NodeId;
use perennial::network::initialize::initialize;
use perennial::network::program::{Servable, TrainingProgram};
use perennial::training::engine::Engine;
use perennial::training::step::{Batch, StepOutcome, StepRule, StepTargets, first_state};

use super::lines::{CLASSES, Line, Task};
use super::wave;

/// One call, with everything that it needs in memory. It runs on a thread of the bench's pool.
pub type Call = Box<dyn FnMut() -> anyhow::Result<()> + Send>;

/// So small that the state stays where it started, however often the step is done: one that fits its only batch
/// perfectly would end in denormal numbers, which cost more. The peer has the same.
const LEARNING_RATE: f64 = 1e-6;

/// Calls of which a profile is the median.
const PROFILE_CALLS: usize = 15;

/// Prepares what a line does.
pub fn prepare(line: &Line) -> anyhow::Result<Call> {
    match line.task {
        Task::Train => training_step(line),
        Task::Infer => inference(line),
    }
}

/// A step as a trainer does it, its loss read.
fn training_step(line: &Line) -> anyhow::Result<Call> {
    let network = line.workload.network.clone();
    let optimizer = Optimizer::ADAM;
    let state = first_state(&network, initialize(&network, 1, &Device::Cpu)?, &optimizer)?;
    let mut engine = Engine::load(TrainingProgram::compile(&network, line.rows), &state)?;
    let classes = (0..line.rows).map(|row| (row % CLASSES) as u32).collect();
    let batch = Batch { inputs: rows(line)?, targets: StepTargets::Classes(classes) };
    let rule = StepRule::plain(optimizer, Rate::constant(LEARNING_RATE), 1);
    Ok(Box::new(move || {
        let outcome = engine.step(&batch, &rule)?;
        ensure!(matches!(outcome, StepOutcome::Done { loss } if loss > 0.0), "{outcome:?}");
        Ok(())
    }))
}

/// Logits as served, those of the last row read.
fn inference(line: &Line) -> anyhow::Result<Call> {
    let network = line.workload.network.clone();
    let parameters = initialize(&network, 1, &Device::Cpu)?;
    let servable = Servable::compile(&network, &parameters)?;
    let batch: Vec<f32> = rows(line)?.flatten_all()?.to_vec1()?;
    let rows = line.rows;
    Ok(Box::new(move || {
        let logits = servable.run(&batch, &Crew::of_pool())?;
        ensure!(logits.len() == rows * CLASSES && logits[0].is_finite(), "{} logits", logits.len());
        Ok(())
    }))
}

/// The batch of a line: the numbers that the peer has too.
fn rows(line: &Line) -> candle_core::Result<Tensor> {
    let shape = line.workload.network.input();
    let values = wave::values(line.rows * shape.elements(), wave::INPUT);
    Tensor::from_vec(values, shape.batched(line.rows), &Device::Cpu)
}

/// Where the time of a call goes, as text: microseconds of every node and of every kind of kernel, forward and backward,
/// medians over calls.
pub fn profile(line: &Line) -> anyhow::Result<Option<String>> {
    let runs = match line.task {
        Task::Train => training_profiles(line)?,
        Task::Infer => inference_profiles(line)?,
    };
    described(&runs).map(Some)
}

/// One kernel call: its node, its kernel, and the microseconds that it took.
type Timed = (NodeId, String, f64);

/// The kernel calls of `pass`, which tells of each when it is done.
fn timed(pass: impl FnOnce(&mut dyn FnMut(&NodeId, &dyn Kernel))) -> Vec<Timed> {
    let mut calls = Vec::new();
    let mut last = Instant::now();
    pass(&mut |node, kernel| {
        let took = last.elapsed().as_secs_f64() * 1e6;
        let name = format!("{kernel:?}");
        calls.push((node.clone(), name.split([' ', '(']).next().unwrap_or_default().to_owned(), took));
        last = Instant::now();
    });
    calls
}

fn inference_profiles(line: &Line) -> anyhow::Result<Vec<Vec<Timed>>> {
    let network = &line.workload.network;
    let servable = Servable::compile(network, &initialize(network, 1, &Device::Cpu)?)?;
    let batch: Vec<f32> = rows(line)?.flatten_all()?.to_vec1()?;
    let one = |_| {
        let mut outputs = Ok(Vec::new());
        let calls = timed(|see| outputs = servable.run_seen(&batch, &Crew::of_pool(), see));
        outputs?;
        Ok(calls)
    };
    (0..PROFILE_CALLS).map(one).collect()
}

fn training_profiles(line: &Line) -> anyhow::Result<Vec<Vec<Timed>>> {
    let network = &line.workload.network;
    let mut program = TrainingProgram::compile(network, line.rows);
    let mut weights = vec![0.0; program.layout().len()];
    program.layout().write(&initialize(network, 1, &Device::Cpu)?, &mut weights)?;
    let mut gradients = vec![0.0; weights.len()];
    let batch: Vec<f32> = rows(line)?.flatten_all()?.to_vec1()?;
    let runs = (0..PROFILE_CALLS).map(|_| {
        let loss = |_: &[f32], gradient: &mut [f32]| {
            gradient.fill(1e-3);
            true
        };
        timed(|see| {
            program.run_seen((&weights, &mut gradients), &batch, (0, 1), loss, see);
        })
    });
    Ok(runs.collect())
}

fn described(runs: &[Vec<Timed>]) -> anyhow::Result<String> {
    let median = |values: &mut Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    // Forward calls come first, each of another node; a node that is met again is on its way back.
    let first = &runs[0];
    let mut nodes: Vec<(&NodeId, &str, [f64; 2])> = Vec::new();
    for (call, (node, kind, _)) in first.iter().enumerate() {
        let took = median(&mut runs.iter().map(|run| run[call].2).collect());
        match nodes.iter_mut().find(|(known, of, times)| *known == node && of == kind && times[1] == 0.0) {
            Some((_, _, times)) => times[1] = took,
            None => nodes.push((node, kind, [took, 0.0])),
        }
    }
    let mut kinds: BTreeMap<&str, (usize, [f64; 2])> = BTreeMap::new();
    let mut text = String::new();
    for (node, kind, [forward, backward]) in nodes {
        writeln!(text, "  {kind:14} {:24} {forward:9.0} {backward:9.0}", node.to_string())?;
        let (count, sums) = kinds.entry(kind).or_default();
        (*count, *sums) = (*count + 1, [sums[0] + forward, sums[1] + backward]);
    }
    for (kind, (count, [forward, backward])) in kinds {
        writeln!(text, "  all {count:3} {kind:14} {forward:9.0} us forward {backward:9.0} us backward")?;
    }
    Ok(text)
}
