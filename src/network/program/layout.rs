//! Where every parameter of a network lies in one flat slice.
//!
//! Each lies as its tensor does, row-major, and begins at a multiple of 16 numbers. Gradients, moments and averages lie
//! in slices of the same layout, so that an optimizer needs no names.

use std::collections::HashMap;
use std::ops::Range;

use candle_core::{Device, Tensor};

use super::super::error::NetworkError;
use super::super::graph::Network;
use super::super::parameter::{ParameterId, ParameterKind, Parameters};
use crate::compute::finite::lend;

/// Numbers to whose multiples the beginning of everything is aligned: a line of the cache.
pub(super) const LINE: usize = 16;

/// One parameter in the layout.
#[derive(Debug, Clone)]
pub struct Placed {
    /// Its name.
    pub id: ParameterId,
    /// The axes of its tensor.
    pub dims: Vec<usize>,
    /// Whether it is trained.
    pub kind: ParameterKind,
    /// Whether it weighs channels against each other; what decays does.
    pub weighs: bool,
    /// Where it lies.
    pub range: Range<usize>,
}

/// The layout of a network's parameters.
#[derive(Debug, Clone)]
pub struct ParameterLayout {
    placed: Vec<Placed>,
    positions: HashMap<ParameterId, usize>,
    length: usize,
}

impl ParameterLayout {
    /// The layout of a network: its parameters in order of nodes.
    pub fn of(network: &Network) -> Self {
        let mut placed: Vec<Placed> = Vec::new();
        let mut length = 0;
        for (id, spec) in network.parameters() {
            let range = length..length + spec.elements();
            length = range.end.next_multiple_of(LINE);
            let (dims, weighs) = (spec.dims.clone(), spec.consumes().is_some());
            placed.push(Placed { id, dims, kind: spec.kind, weighs, range });
        }
        let positions = placed.iter().enumerate().map(|(at, one)| (one.id.clone(), at)).collect();
        Self { placed, positions, length }
    }

    /// Every parameter, in order.
    pub fn placed(&self) -> &[Placed] {
        &self.placed
    }

    /// Which parameter this is.
    pub fn position(&self, id: &ParameterId) -> Option<usize> {
        self.positions.get(id).copied()
    }

    /// How many numbers a slice of this layout has.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there are no parameters.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Copies tensors into a slice of this layout.
    ///
    /// # Errors
    /// A parameter that is missing or of another shape.
    pub fn write(&self, parameters: &Parameters, to: &mut [f32]) -> Result<(), NetworkError> {
        for placed in &self.placed {
            let tensor = parameters.get(&placed.id);
            let tensor = tensor.filter(|tensor| tensor.dims() == placed.dims).ok_or_else(|| {
                NetworkError::Parameters(format!("`{}` is missing or not of the shape {:?}", placed.id, placed.dims))
            })?;
            copy(tensor, &mut to[placed.range.clone()])?;
        }
        Ok(())
    }

    /// The tensors of a slice of this layout.
    pub fn read(&self, from: &[f32]) -> Result<Parameters, NetworkError> {
        let tensor = |placed: &Placed| {
            let values = from[placed.range.clone()].to_vec();
            Ok((placed.id.clone(), Tensor::from_vec(values, placed.dims.as_slice(), &Device::Cpu)?))
        };
        self.placed.iter().map(tensor).collect()
    }
}

/// Copies a tensor's numbers, row-major.
pub fn copy(tensor: &Tensor, to: &mut [f32]) -> candle_core::Result<()> {
    lend(tensor, |numbers| to.copy_from_slice(numbers))
}
