//! Values that copy nothing: the parameters of new nodes, and new rows of old ones.

use crate::compute::random::{Purpose, Random};
use crate::network::initialize::draw;
use crate::network::parameter::Initial;
use crate::network::{AxisRole, ParameterId, ParameterSpec};

use super::classes;
use super::plan::{Fill, Plan};
use super::request::GrowthRequest;

/// The values of a new node's parameter, row-major.
pub(super) fn new_parameter(fill: Fill, id: &ParameterId, spec: &ParameterSpec, seed: u64) -> Vec<f32> {
    match fill {
        Fill::Initial => draw(id, spec, seed),
        Fill::Zero => vec![0.0; spec.dims.iter().product()],
        Fill::Identity => identity(spec),
    }
}

/// 1 where output and input channel are the same and every other axis is at its middle; a bias is 0 everywhere.
fn identity(spec: &ParameterSpec) -> Vec<f32> {
    let mut numbers = vec![0.0; spec.dims.iter().product()];
    if !spec.axes.iter().any(|role| matches!(role, AxisRole::In { .. })) {
        return numbers;
    }
    let channels = spec.axes.iter().zip(&spec.dims).filter(|(role, _)| **role != AxisRole::Neither);
    let shared = channels.map(|(_, &size)| size).min().unwrap_or(0);
    for channel in 0..shared {
        let axes = spec.axes.iter().zip(&spec.dims);
        let at =
            axes.fold(0, |at, (role, size)| at * size + if *role == AxisRole::Neither { size / 2 } else { channel });
        numbers[at] = 1.0;
    }
    numbers
}

/// The numbers of new rows of an old parameter: those that its op declares for a new one, except for new classes.
pub(super) struct Fresh {
    random: Random,
    initial: Initial,
}

impl Fresh {
    /// `elements` is the parameter's size before the growth: it keeps two growths by one seed from drawing the same.
    pub fn new(plan: &Plan, id: &ParameterId, spec: &ParameterSpec, elements: usize) -> Self {
        let initial = match plan.request {
            GrowthRequest::Classes { add, epsilon, log_sum_exp } if classes::is_bias(spec) => {
                Initial::Constant(classes::bias(add, epsilon, log_sum_exp) as f32)
            }
            GrowthRequest::Classes { .. } => Initial::Constant(0.0),
            _ => spec.initial,
        };
        Self { random: Random::keyed(plan.seed, Purpose::Initialize, elements as u64, id.as_str()), initial }
    }

    /// The next number.
    pub fn draw(&mut self) -> f32 {
        match self.initial {
            Initial::Constant(value) => value,
            Initial::HeNormal { fan_in } => {
                let deviation = (2.0 / fan_in.max(1) as f64).sqrt();
                (self.random.normal() * deviation) as f32
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::ParameterKind;

    #[test]
    fn the_identity_of_a_rectangular_kernel_is_one_in_its_middle() {
        let spec = ParameterSpec {
            name: "weight",
            dims: vec![2, 2, 1, 5],
            axes: vec![AxisRole::Out, AxisRole::In { input: 0 }, AxisRole::Neither, AxisRole::Neither],
            kind: ParameterKind::Trained,
            initial: Initial::HeNormal { fan_in: 10 },
        };
        let numbers = identity(&spec);
        let ones: Vec<usize> = (0..20).filter(|&index| numbers[index] != 0.0).collect();
        assert_eq!(ones, [2, 15 + 2]);
        let bias = ParameterSpec { name: "bias", dims: vec![2], axes: vec![AxisRole::Out], ..spec };
        assert_eq!(identity(&bias), [0.0, 0.0]);
    }
}
