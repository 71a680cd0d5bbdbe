//! Our side: a line as a function that does one call of it. The only module of the bench that knows the engine.

use anyhow::ensure;
use candle_core::{Device, Tensor};
use perennial::compute::optimizer::{Optimizer, Rate};
use perennial::network::execute::evaluate;
use perennial::network::initialize::initialize;
use perennial::training::step::{Batch, StepOutcome, StepRule, StepTargets, first_state, step};

use super::lines::{CLASSES, Line, Task};
use super::wave;

/// One call, with everything that it needs in memory. It runs on a thread of the bench's pool.
pub type Call = Box<dyn FnMut() -> anyhow::Result<()> + Send>;

/// So small that the state stays where it started, however often the step is done: one that fits its only batch
/// perfectly would end in denormal numbers, which cost more. The peer has the same.
const LEARNING_RATE: f64 = 1e-6;

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
    let mut state = first_state(&network, initialize(&network, 1, &Device::Cpu)?, &optimizer)?;
    let classes = (0..line.rows).map(|row| (row % CLASSES) as u32).collect();
    let batch = Batch { inputs: rows(line)?, targets: StepTargets::Classes(classes) };
    let rule = StepRule::plain(optimizer, Rate::constant(LEARNING_RATE), 1);
    Ok(Box::new(move || {
        let outcome = step(&network, &mut state, &batch, &rule)?;
        ensure!(matches!(outcome, StepOutcome::Done { loss } if loss > 0.0), "{outcome:?}");
        Ok(())
    }))
}

/// Logits as served, those of the last row read.
fn inference(line: &Line) -> anyhow::Result<Call> {
    let network = line.workload.network.clone();
    let parameters = initialize(&network, 1, &Device::Cpu)?;
    let batch = rows(line)?;
    let rows = line.rows;
    Ok(Box::new(move || {
        let logits = evaluate(&network, &parameters, &batch)?;
        ensure!(logits.dims() == [rows, CLASSES], "logits of shape {:?}", logits.dims());
        Ok(())
    }))
}

/// The batch of a line: the numbers that the peer has too.
fn rows(line: &Line) -> candle_core::Result<Tensor> {
    let shape = line.workload.network.input();
    let values = wave::values(line.rows * shape.elements(), wave::INPUT);
    Tensor::from_vec(values, shape.batched(line.rows), &Device::Cpu)
}

/// Where the time of a call goes, as text; `None` while the engine keeps no account of it.
pub fn profile(_line: &Line) -> anyhow::Result<Option<String>> {
    Ok(None)
}
