//! LayerNorm (Ba et al. 2016): at every position of a row the numbers of all channels are normalised by their own mean and
//! variance, then scaled and shifted by channel.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::across::{Across, Centre, Runs};
use super::document::{Fields, written};
use crate::compute::kernels::Kernel;
use crate::network::channels::ChannelRelation;
use crate::network::error::NetworkError;
use crate::network::op::{Backward, BackwardInput, Cost, Forward, ForwardInput, Op, ReferenceBatch, ReferenceInput};
use crate::network::parameter::ParameterSpec;
use crate::network::shape::Shape;

/// Normalisation across all channels of a position: of a flat row the whole row, of an image every pixel by itself.
/// Parameters, each `[channels]`, trained: `scale` and `shift`.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerNorm {
    /// Added to the variance before its root is taken: from 1e-12 to 1.
    pub epsilon: f64,
}

impl Default for LayerNorm {
    fn default() -> Self {
        Self { epsilon: 1e-5 }
    }
}

impl LayerNorm {
    pub(super) fn read(document: &Map<String, Value>) -> Result<Arc<dyn Op>, String> {
        let op = Self { epsilon: Fields::exactly(document, &["epsilon"])?.number("epsilon")? };
        op.across().check()?;
        Ok(Arc::new(op))
    }

    fn across(&self) -> Across {
        Across { runs: Runs::Positions, centre: Centre::Mean, epsilon: self.epsilon }
    }
}

impl Op for LayerNorm {
    fn kind(&self) -> &'static str {
        "layer_norm"
    }

    fn document(&self) -> Map<String, Value> {
        written([("epsilon", json!(self.epsilon))])
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        self.across().output_shape(inputs)
    }

    fn channels(&self, _: &[Shape]) -> ChannelRelation {
        ChannelRelation::CarriesAcross { groups: 1 }
    }

    fn parameters(&self, inputs: &[Shape]) -> Vec<ParameterSpec> {
        self.across().parameters(inputs)
    }

    fn forward(&self, input: ForwardInput<'_>) -> Result<Forward, NetworkError> {
        self.across().forward(input)
    }

    fn backward(&self, input: BackwardInput<'_>) -> Result<Backward, NetworkError> {
        self.across().backward(input)
    }

    fn kernel(&self, inputs: &[Shape]) -> Option<Arc<dyn Kernel>> {
        Some(self.across().kernel(&inputs[0]))
    }

    fn reference(&self, input: ReferenceInput<'_>) -> ReferenceBatch {
        self.across().reference(input)
    }

    fn cost(&self, inputs: &[Shape]) -> Cost {
        self.across().cost(inputs)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::network::ops::tests::{Trial, batches};

    proptest! {
        #[test]
        fn both_passes_agree_with_the_reference((shape, rows) in batches(), epsilon in 1e-3..0.1, seed: u64) {
            Trial::training(LayerNorm { epsilon }, &[shape], rows, seed).check();
        }
    }
}
