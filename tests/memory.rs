//! What training steps hold and what they allocate, measured: kernels cut their work as in use, which unit tests do not.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use candle_core::{DType, Device, Tensor};
use perennial::compute::kernels::kept_room;
use perennial::compute::memory::Memory;
use perennial::compute::optimizer::{Optimizer, Rate};
use perennial::network::builders::{NetworkSpec, ResnetStyle};
use perennial::network::initialize::initialize;
use perennial::network::program::TrainingProgram;
use perennial::network::{Network, Shape};
use perennial::training::engine::Engine;
use perennial::training::step::{Batch, StepOutcome, StepRule, StepTargets, first_state};
use perennial::training::{TrainingSettings, memory};
use proptest::prelude::*;
use rayon::ThreadPoolBuilder;

#[path = "../benches/compute/lines.rs"]
#[expect(dead_code, reason = "only the networks are used")]
mod lines;

/// The system's allocator, which counts what the current thread asks of it.
struct Counting;

thread_local! {
    static ALLOCATED: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: the system's allocator does everything; a counter without a destructor allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.set(ALLOCATED.get() + layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// An engine of a new network, and a batch for it.
fn engine(network: &Network, rows: usize) -> (Engine, Batch) {
    let state = first_state(network, initialize(network, 1, &Device::Cpu).unwrap(), &Optimizer::ADAM).unwrap();
    let inputs = Tensor::zeros(network.input().batched(rows), DType::F32, &Device::Cpu).unwrap();
    let batch = Batch { inputs, targets: StepTargets::Classes(vec![0; rows]) };
    (Engine::load(TrainingProgram::compile(network, rows), &state).unwrap(), batch)
}

fn step(engine: &mut Engine, batch: &Batch) {
    let rule = StepRule::plain(Optimizer::ADAM, Rate::constant(1e-3), 1);
    assert!(matches!(engine.step(batch, &rule).unwrap(), StepOutcome::Done { .. }));
}

/// Bytes that a pool's two threads keep for kernels after a step.
fn kept(network: &Network, rows: usize) -> u64 {
    let pool = ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    pool.install(|| {
        let (mut engine, batch) = engine(network, rows);
        step(&mut engine, &batch);
    });
    let numbers: usize = pool.broadcast(|_| kept_room()).into_iter().sum();
    (numbers * size_of::<f32>()) as u64
}

fn of_step(network: &Network, batch: usize) -> Memory {
    memory::of_step(network, &TrainingSettings { batch, optimizer: Optimizer::ADAM, ..TrainingSettings::default() })
}

#[test]
fn a_step_of_the_compared_networks_holds_at_most_half_more_than_it_needs_with_all_that_kernels_borrow() {
    for workload in lines::workloads().unwrap() {
        let memory = of_step(&workload.network, workload.train_rows);
        // What kernels borrow hardly depends on the rows: partial sums for at most eight of them, and padded planes.
        let borrowed = kept(&workload.network, workload.train_rows.min(8));
        let needed = memory.weights + memory.optimizer + memory.activations;
        let ratio = (memory.peak() + borrowed) as f64 / needed as f64;
        println!("{}: {ratio:.2}, of which borrowed {:.2}", workload.name, borrowed as f64 / needed as f64);
        assert!(ratio <= 1.5, "{}: {ratio}", workload.name);
    }
}

#[test]
fn a_step_allocates_little_and_always_the_same() {
    for workload in lines::workloads().unwrap().into_iter().filter(|one| one.name != "cnn") {
        let network = &workload.network;
        let pool = ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let allocated: Vec<usize> = pool.install(|| {
            let (mut engine, batch) = engine(network, 4);
            step(&mut engine, &batch);
            let one = |_| {
                let before = ALLOCATED.get();
                step(&mut engine, &batch);
                ALLOCATED.get() - before
            };
            (0..3).map(one).collect()
        });
        // Lists of a few slices for every kernel call, and for every parameter, or 2^14 of its elements, the constants of
        // its update.
        let parameters = network.parameters().count() + network.parameter_count() as usize / (1 << 14);
        let predicted = 512 * network.nodes().len() + 128 * parameters;
        println!("{}: {} bytes a step, at most {predicted} predicted", workload.name, allocated[0]);
        assert!(allocated.iter().all(|&bytes| bytes == allocated[0]), "{}: {allocated:?}", workload.name);
        assert!(allocated[0] <= predicted, "{}: {} bytes", workload.name, allocated[0]);
    }
}

/// A builder's network and the shape of its input.
fn networks() -> impl Strategy<Value = (NetworkSpec, Shape)> {
    let image = || {
        (1usize..4, 8usize..33, 8usize..33).prop_map(|(channels, height, width)| Shape::image(channels, height, width))
    };
    let widths = |largest: u32| prop::collection::vec((2..largest).prop_map(|power| 1usize << power), 1..4);
    prop_oneof![
        (widths(10), 2usize..800)
            .prop_map(|(hidden, inputs)| (NetworkSpec::Mlp { hidden, dropout: 0.0 }, Shape::flat(inputs))),
        (widths(8), image()).prop_map(|(channels, image)| (NetworkSpec::Cnn { channels }, image)),
        (1usize..3, 1usize..4, 3u32..6, image()).prop_map(|(blocks, stages, width, image)| {
            (NetworkSpec::Resnet { blocks: vec![blocks; stages], width: 1 << width, style: ResnetStyle::Post }, image)
        }),
        (1usize..5, 3u32..6, image()).prop_map(|(modules, stem, image)| (
            NetworkSpec::InceptionBn { modules, width: 0.5, stem: 1 << stem },
            image
        )),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, max_global_rejects: 10_000, ..ProptestConfig::default() })]

    #[test]
    fn a_step_of_a_builders_network_holds_at_most_half_more_than_weights_optimizer_state_and_all_outputs(
        (spec, input) in networks(),
    ) {
        let network = spec.build(&input, 10);
        prop_assume!(network.as_ref().is_ok_and(|network| network.parameter_count() >= 10_000));
        let (network, rows) = (network.unwrap(), TrainingSettings::default().batch);
        let memory = of_step(&network, rows);
        let outputs = network.nodes().iter().map(|node| network.shape(&node.id).unwrap().elements());
        let activations = (4 * rows * (network.input().elements() + outputs.sum::<usize>())) as u64;
        let needed = memory.weights + memory.optimizer + activations;
        prop_assert!(memory.peak() as f64 <= 1.5 * needed as f64, "{:?} {:?} {}", spec, memory, needed);
        // Joined steps hold fewer activations than the network has outputs. Measured by those alone, one value that is much
        // larger than all others takes part three times: before its norm, behind it, and as a gradient.
        prop_assert!(memory.ratio() <= 1.55, "{:?} {:?} {}", spec, memory, memory.ratio());
    }
}
