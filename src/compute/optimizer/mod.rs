//! Optimizers whose state can grow: SGD with momentum, RMSProp, Adam.
//!
//! The state of a parameter is its moments and, for every index of its out axis and of its in axis, the *birth step*:
//! the count of optimizer steps at which that row or column began with empty moments. An element's age is that of the
//! younger of its two indices, so nothing is ever stepped with an old count and empty moments (growth.md §3, no. 17).

use std::collections::BTreeMap;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

/// Which optimizer, with its constants. In documents: `"adam"`, `"sgd"`, `"rmsprop"`, or an object with the constants.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind", deny_unknown_fields)]
pub enum Optimizer {
    /// Stochastic gradient descent with momentum (heavy ball).
    Sgd { momentum: f64 },
    /// RMSProp (Tieleman and Hinton 2012) without momentum.
    RmsProp { decay: f64, epsilon: f64 },
    /// Adam (Kingma and Ba 2015) with bias correction by every element's own age.
    Adam { beta1: f64, beta2: f64, epsilon: f64 },
}

impl Optimizer {
    /// Adam with the paper's constants.
    pub const ADAM: Self = Self::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };
    /// SGD with momentum 0.9.
    pub const SGD: Self = Self::Sgd { momentum: 0.9 };
    /// RMSProp with decay 0.99.
    pub const RMSPROP: Self = Self::RmsProp { decay: 0.99, epsilon: 1e-8 };
}

/// The optimizer state of one parameter.
#[derive(Debug, Clone)]
pub struct Moments {
    /// Mean of gradients (Adam) or velocity (SGD); of the parameter's shape. `None` for RMSProp.
    pub first: Option<Tensor>,
    /// Mean of squared gradients (Adam, RMSProp); of the parameter's shape. `None` for SGD.
    pub second: Option<Tensor>,
    /// The axis of the parameter that runs over output channels, with the birth step of every index.
    pub out_births: Option<AxisBirths>,
    /// The axis that runs over input channels, with the birth step of every index.
    pub in_births: Option<AxisBirths>,
}

/// The birth steps along one axis.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AxisBirths {
    /// Which axis of the parameter.
    pub axis: usize,
    /// For every index the number of steps that were done when it was born; 0 for what was there from the start.
    pub steps: Vec<u64>,
}

/// The optimizer state of a network: by parameter name.
#[derive(Debug, Clone, Default)]
pub struct OptimizerState {
    /// How many steps were done.
    pub step: u64,
    /// The moments of every trained parameter.
    pub moments: BTreeMap<String, Moments>,
}

impl Optimizer {
    /// Empty moments for a parameter of the shape and device of `parameter`, born at `born`; the axes are those of its
    /// out and in channels, if it has them.
    pub fn moments(
        &self,
        parameter: &Tensor,
        out_axis: Option<usize>,
        in_axis: Option<usize>,
        born: u64,
    ) -> candle_core::Result<Moments> {
        let _ = (parameter, out_axis, in_axis, born);
        unimplemented!("helper A1")
    }

    /// The parameter after step number `step` (the first is 1) with this gradient; updates the moments.
    pub fn update(
        &self,
        parameter: &Tensor,
        gradient: &Tensor,
        moments: &mut Moments,
        step: u64,
        learning_rate: f64,
    ) -> candle_core::Result<Tensor> {
        let _ = (parameter, gradient, moments, step, learning_rate);
        unimplemented!("helper A1")
    }
}

impl OptimizerState {
    /// The state as a safetensors file, for the checkpoint: the same bytes for the same values.
    pub fn to_bytes(&self) -> Result<Vec<u8>, OptimizerError> {
        unimplemented!("helper A1")
    }

    /// Reads the file back onto a device.
    pub fn from_bytes(bytes: &[u8], device: &candle_core::Device) -> Result<Self, OptimizerError> {
        let _ = (bytes, device);
        unimplemented!("helper A1")
    }
}

/// A stored optimizer state that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum OptimizerError {
    /// The bytes are not such a file.
    #[error("optimizer state: {0}")]
    Malformed(String),
    /// The tensor library failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}
