//! The memory of training steps, as the engine and the threads hold it: kernels are compiled as they are used, so this is no
//! unit test.

use candle_core::{Device, Tensor};
use perennial::compute::kernels::kept_room;
use perennial::compute::memory::Memory;
use perennial::compute::optimizer::{Optimizer, Rate};
use perennial::network::Network;
use perennial::network::initialize::initialize;
use perennial::network::program::TrainingProgram;
use perennial::training::engine::Engine;
use perennial::training::step::{Batch, StepOutcome, StepRule, StepTargets, first_state};
use rayon::ThreadPoolBuilder;

#[path = "../benches/compute/lines.rs"]
#[expect(dead_code, reason = "only the networks are used")]
mod lines;

/// What an engine holds, and bytes that two threads of a pool keep for kernels after a step.
fn measured(network: &Network, rows: usize) -> (Memory, u64) {
    let pool = ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    let optimizer = Optimizer::ADAM;
    let state = first_state(network, initialize(network, 1, &Device::Cpu).unwrap(), &optimizer).unwrap();
    let memory = pool.install(|| {
        let mut engine = Engine::load(TrainingProgram::compile(network, rows), &state).unwrap();
        let inputs = Tensor::zeros(network.input().batched(rows), candle_core::DType::F32, &Device::Cpu).unwrap();
        let batch = Batch { inputs, targets: StepTargets::Classes(vec![0; rows]) };
        let outcome = engine.step(&batch, &StepRule::plain(optimizer, Rate::constant(1e-3), 1)).unwrap();
        assert!(matches!(outcome, StepOutcome::Done { .. }));
        engine.memory()
    });
    let room: usize = pool.broadcast(|_| kept_room()).into_iter().sum();
    (memory, (room * size_of::<f32>()) as u64)
}

#[test]
fn print() {
    for workload in lines::workloads().unwrap() {
        let start = std::time::Instant::now();
        let (memory, room) = measured(&workload.network, workload.train_rows);
        let ratio = (memory.peak() + room) as f64 / memory.peak() as f64 * memory.ratio();
        println!(
            "{} {memory:?} room {room} ratio {} with {ratio} {:?}",
            workload.name,
            memory.ratio(),
            start.elapsed()
        );
    }
}
