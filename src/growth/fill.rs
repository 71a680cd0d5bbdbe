//! Values that copy nothing: the parameters of new nodes, and new rows of old ones.

use crate::compute::random::{Purpose, Random};
use crate::network::initialize::draw;
use crate::network::parameter::Initial;
use crate::network::{AxisRole, ParameterId, ParameterSpec};

use super::apply::GrowthError;
use super::step::{Fill, NewRows};

/// The values of a new node's parameter, row-major.
pub(super) fn new_parameter(
    fill: &Fill,
    id: &ParameterId,
    spec: &ParameterSpec,
    seed: u64,
) -> Result<Vec<f32>, GrowthError> {
    match fill {
        Fill::Initial => Ok(draw(id, spec, seed)),
        Fill::Zero => Ok(vec![0.0; spec.elements()]),
        Fill::One => Ok(vec![1.0; spec.elements()]),
        Fill::Identity => Ok(identity(spec)),
        Fill::Measured { .. } => Err(GrowthError::NotMeasured),
        Fill::Values(values) if values.len() == spec.elements() => Ok(values.clone()),
        Fill::Values(_) => Err(GrowthError::Mismatch(format!("it has other numbers than {id} needs"))),
    }
}

/// 1 where output and input channel are the same and a kernel is at its middle, in every piece; a bias is 0 everywhere.
fn identity(spec: &ParameterSpec) -> Vec<f32> {
    let mut numbers = vec![0.0; spec.elements()];
    let axes = spec.channel_axes();
    let (Some(out), Some(input)) = (axes.out, axes.input) else {
        return numbers;
    };
    // Where the ones of the first channel stand; those of the next are one step along both axes behind them.
    let mut places = vec![0];
    for (role, &size) in spec.axes.iter().zip(&spec.dims) {
        let indices = match role {
            AxisRole::Out | AxisRole::In { .. } | AxisRole::InGroup { .. } => 0..1,
            AxisRole::Neither => size / 2..size / 2 + 1,
            AxisRole::Piece => 0..size,
        };
        places = places.iter().flat_map(|place| indices.clone().map(move |index| place * size + index)).collect();
    }
    let behind = |axis: usize| spec.dims[axis + 1..].iter().product::<usize>();
    let channel = behind(out) + behind(input);
    for step in (0..spec.dims[out].min(spec.dims[input])).map(|index| index * channel) {
        places.iter().for_each(|place| numbers[place + step] = 1.0);
    }
    numbers
}

/// The numbers of new rows of an old parameter.
pub(super) struct Fresh {
    random: Random,
    initial: Initial,
}

impl Fresh {
    /// `key` is the seed and the parameter's size before the growth, which keeps two growths by one seed from drawing the
    /// same.
    pub fn new(rows: NewRows, id: &ParameterId, spec: &ParameterSpec, key: (u64, usize)) -> Self {
        let initial = match rows {
            NewRows::Drawn => spec.initial,
            NewRows::Biased(bias) if spec.consumes().is_none() => Initial::Constant(bias),
            NewRows::Biased(_) => Initial::Constant(0.0),
        };
        Self { random: Random::keyed(key.0, Purpose::Initialize, key.1 as u64, id.as_str()), initial }
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
