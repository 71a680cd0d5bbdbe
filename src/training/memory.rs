//! The memory of a learner's training step on the CPU, worked out from its network, its optimizer and its batch: what an
//! [`Engine`](super::engine::Engine) of a new state holds, to the byte.
//!
//! For learners that no trainer of this process has in memory, and while a trainer holds no engine. Steps on other devices
//! hold tensors, which is worked out beside it.

use super::settings::TrainingSettings;
use crate::compute::memory::Memory;
use crate::network::program::{ParameterLayout, TrainingProgram};
use crate::network::{Network, Node, ParameterKind};

const F32: u64 = 4;
const BIRTH: u64 = 8;

/// What a step of this network with these settings holds.
pub fn of_step(network: &Network, settings: &TrainingSettings) -> Memory {
    let (activations, working) = TrainingProgram::sizes(network, settings.batch);
    Memory {
        activations: F32 * activations as u64,
        scratch: F32 * working.saturating_sub(activations) as u64,
        ..of_parameters(network, settings)
    }
}

/// What of it is held for the parameters, however steps are done.
fn of_parameters(network: &Network, settings: &TrainingSettings) -> Memory {
    let optimizer = &settings.optimizer;
    let kept = [optimizer.has_first(), optimizer.has_second(), settings.average_decay > 0.0];
    let slices = kept.into_iter().filter(|&kept| kept).count() as u64;
    let trained = network.owners().flat_map(|(_, specs)| specs).filter(|spec| spec.kind == ParameterKind::Trained);
    let births = trained.map(|spec| {
        let axes = spec.channel_axes();
        // One with neither axis is born along its first.
        let first = (axes.out.is_none() && axes.input.is_none() && !spec.dims.is_empty()).then_some(0);
        let born = [axes.out, axes.input, first].into_iter().flatten();
        born.map(|axis| spec.dims[axis] as u64).sum::<u64>()
    });
    let weights = F32 * ParameterLayout::of(network).len() as u64;
    Memory {
        weights,
        gradients: weights,
        optimizer: slices * weights + BIRTH * births.sum::<u64>(),
        ..Memory::default()
    }
}

/// What a step of this network with these settings holds as tensors: gradients are all held until the update, and the
/// update makes every parameter and moment anew before it lets go of the old ones. Not counted is what ops save for their
/// own backward pass.
pub fn of_tensors(network: &Network, settings: &TrainingSettings) -> Memory {
    let held = of_parameters(network, settings);
    let rows = settings.batch as u64;
    let output = |node: &Node| network.shape(&node.id).map_or(0, |shape| shape.elements() as u64);
    let outputs = || network.nodes().iter().map(output);
    Memory {
        activations: F32 * rows * (network.input().elements() as u64 + outputs().sum::<u64>()),
        // The new parameters and moments, and the gradients of a node's output and of its input.
        scratch: held.weights + held.optimizer + 2 * F32 * rows * outputs().max().unwrap_or(0),
        ..held
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::super::averages;
    use super::super::engine::Engine;
    use super::*;
    use crate::compute::optimizer::Optimizer;
    use crate::network::Shape;
    use crate::network::builders::NetworkSpec;
    use crate::network::initialize::initialize;
    use crate::training::step::first_state;

    #[test]
    fn what_is_worked_out_is_what_an_engine_holds() {
        let flat = |spec: NetworkSpec| spec.build(&Shape::flat(7), 3).unwrap();
        let networks = [
            flat(NetworkSpec::Mlp { hidden: vec![5, 4], dropout: 0.1 }),
            NetworkSpec::Cnn { channels: vec![2, 3] }.build(&Shape::image(1, 8, 8), 3).unwrap(),
        ];
        for network in &networks {
            for (optimizer, average_decay) in [(Optimizer::ADAM, 0.0), (Optimizer::SGD, 0.9), (Optimizer::RMSPROP, 0.0)]
            {
                let settings = TrainingSettings { optimizer, average_decay, batch: 16, ..TrainingSettings::default() };
                let parameters = initialize(network, 1, &Device::Cpu).unwrap();
                let mut state = first_state(network, parameters, &optimizer).unwrap();
                averages::keep(&mut state, &settings);
                let engine = Engine::load(TrainingProgram::compile(network, 16), &state).unwrap();
                let memory = of_step(network, &settings);
                assert_eq!(memory, engine.memory());
                assert!(memory.gradients >= F32 * network.parameter_count());
                let numbers = network.input().elements() + network.output_shape().elements();
                assert!(memory.activations > 16 * F32 * numbers as u64);
                let tensors = of_tensors(network, &settings);
                assert!(tensors.peak() > memory.peak() && memory.ratio() > 1.0, "{tensors:?} and {memory:?}");
            }
        }
    }
}
