//! The networks that a device is checked with, and their rows. `deploy/cuda/torch_steps.py` has the same networks.

use candle_core::{Device, Tensor};

use crate::compute::optimizer::{Optimizer, Rate};
use crate::compute::random::{Purpose, Random};
use crate::growth::State;
use crate::network::builders::{NetworkSpec, ResnetStyle};
use crate::network::initialize::initialize;
use crate::network::{Network, Shape};
use crate::training::step::{Batch, StepRule, StepTargets, first_state};

/// How many classes the rows have.
const CLASSES: usize = 10;

/// What all of them are trained by.
pub const RULE: StepRule = StepRule::plain(Optimizer::ADAM, Rate::constant(1e-3), 1);

/// A network with the batch that it is trained on.
pub struct Workload {
    /// The name on the command line and in reports.
    pub name: &'static str,
    /// The network.
    pub network: Network,
    /// Rows of a batch.
    pub rows: usize,
}

/// All of them.
pub fn all() -> anyhow::Result<Vec<Workload>> {
    let (row, digit, picture) = (Shape::flat(784), Shape::image(1, 28, 28), Shape::image(3, 32, 32));
    let resnet = NetworkSpec::Resnet { blocks: vec![3, 3, 3], width: 16, style: ResnetStyle::default() };
    let specs = [
        ("mlp", NetworkSpec::Mlp { hidden: vec![512, 512], dropout: 0.0 }, row, 128),
        ("cnn", NetworkSpec::Cnn { channels: vec![32, 64, 128] }, digit, 64),
        ("resnet", resnet, picture.clone(), 64),
        ("inception_bn", NetworkSpec::InceptionBn { modules: 4, width: 1.0, stem: 32 }, picture, 64),
    ];
    let workload = |(name, spec, input, rows): (&'static str, NetworkSpec, Shape, usize)| {
        Ok(Workload { name, network: spec.build(&input, CLASSES)?, rows })
    };
    specs.into_iter().map(workload).collect()
}

impl Workload {
    /// The first state of training: the same weights on every device.
    pub fn state(&self, device: &Device) -> anyhow::Result<State> {
        Ok(first_state(&self.network, initialize(&self.network, RULE.seed, device)?, &RULE.optimizer)?)
    }

    /// The batch: the same rows on every device.
    pub fn batch(&self, device: &Device) -> anyhow::Result<Batch> {
        let mut random = Random::keyed(RULE.seed, Purpose::Probe, 0, self.name);
        let shape = self.network.input();
        let values: Vec<f32> = (0..self.rows * shape.elements()).map(|_| random.normal() as f32).collect();
        let classes = (0..self.rows).map(|_| random.below(CLASSES) as u32).collect();
        let inputs = Tensor::from_vec(values, shape.batched(self.rows), device)?;
        Ok(Batch { inputs, targets: StepTargets::Classes(classes) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_workload_builds_and_its_batch_fits_its_network() {
        let names: Vec<&str> = all().unwrap().iter().map(|workload| workload.name).collect();
        assert_eq!(names, ["mlp", "cnn", "resnet", "inception_bn"]);
        for workload in all().unwrap() {
            let batch = workload.batch(&Device::Cpu).unwrap();
            assert_eq!(batch.inputs.dims(), workload.network.input().batched(workload.rows));
            assert!(matches!(batch.targets, StepTargets::Classes(classes) if classes.len() == workload.rows));
        }
    }
}
