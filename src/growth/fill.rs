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

/// 1 where output and input channel are the same and a kernel is at its middle, in every piece; a bias is 0 everywhere.
fn identity(spec: &ParameterSpec) -> Vec<f32> {
    let count = spec.dims.iter().product();
    if spec.consumes().is_none() {
        return vec![0.0; count];
    }
    let one = |element: usize| {
        let (mut rest, mut channels) = (element, Vec::with_capacity(2));
        for (role, &size) in spec.axes.iter().zip(&spec.dims).rev() {
            let index = rest % size;
            rest /= size;
            match role {
                AxisRole::Neither if index != size / 2 => return false,
                AxisRole::Neither | AxisRole::Piece => {}
                AxisRole::Out | AxisRole::In { .. } | AxisRole::InGroup { .. } => channels.push(index),
            }
        }
        channels.windows(2).all(|two| two[0] == two[1])
    };
    (0..count).map(|element| if one(element) { 1.0 } else { 0.0 }).collect()
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
