//! Optimizers whose state can grow: SGD with momentum, RMSProp, Adam, each with decoupled decay, clipping by the norm of the
//! whole gradient and an average of the weights.
//!
//! The state of a parameter is its moments and, for every index of its out axis and of its in axis, the *birth step*:
//! the count of optimizer steps at which that row or column began with empty moments. An element's age is that of the
//! younger of its two indices, so nothing is ever stepped with an old count and empty moments (growth.md §3, no. 17), and
//! what was born after the start is warmed up by its own age while everything around it steps on as before.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};

mod fused;
mod norm;
mod rate;
mod schedule;
mod spans;
mod state_file;
mod tensors;
mod update;

pub use fused::{Constants, Decays, Run, Terms, Unsteppable};
pub use norm::{LARGEST_GRADIENT, clip_factor, norm_and_check};
pub use rate::{Rate, Warmup};
pub use schedule::{Schedule, Scheduled};
pub use spans::Span;

/// Which optimizer, with its constants. In documents: `"adam"`, `"sgd"`, `"rmsprop"`, or an object with the constants.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind", deny_unknown_fields)]
pub enum Optimizer {
    /// Stochastic gradient descent with momentum (heavy ball).
    Sgd { momentum: f64 },
    /// RMSProp (Tieleman and Hinton 2012) without momentum. Its mean of squares is corrected by every element's own age
    /// as Adam's is: without, the first step of an element is `learning_rate / sqrt(1 - decay)` long, ten times too long.
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
    /// The exponential moving average of the parameter; of its shape. `None` where none is kept.
    pub average: Option<Tensor>,
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
    /// Whether the constants make sense; says what is wrong with those that do not.
    pub fn check(&self) -> Result<(), String> {
        let share = |name, value: f64| match value {
            value if (0.0..1.0).contains(&value) => Ok(()),
            _ => Err(format!("`{name}` is at least 0 and below 1")),
        };
        // A smaller one would be 0 in f32, or be lost where small numbers are flushed, and 0 ÷ 0 is no number.
        let normal = |name, value: f64| match value {
            value if (value as f32).is_normal() && value > 0.0 => Ok(()),
            _ => Err(format!("`{name}` is a normal f32 number above 0")),
        };
        match *self {
            Self::Sgd { momentum } => share("momentum", momentum),
            Self::RmsProp { decay, epsilon } => share("decay", decay).and(normal("epsilon", epsilon)),
            Self::Adam { beta1, beta2, epsilon } => {
                share("beta1", beta1).and(share("beta2", beta2)).and(normal("epsilon", epsilon))
            }
        }
    }

    /// Empty moments for a parameter of the shape and device of `parameter`, born at `born`, without an average; the axes
    /// are those of its out and in channels, if it has them. One that has neither keeps its birth along its first axis.
    pub fn moments(
        &self,
        parameter: &Tensor,
        out_axis: Option<usize>,
        in_axis: Option<usize>,
        born: u64,
    ) -> candle_core::Result<Moments> {
        let zeros = || Tensor::zeros(parameter.shape(), DType::F32, parameter.device());
        let births = |axis: usize| -> candle_core::Result<AxisBirths> {
            Ok(AxisBirths { axis, steps: vec![born; parameter.dim(axis)?] })
        };
        let out_axis = out_axis.or_else(|| (in_axis.is_none() && parameter.rank() > 0).then_some(0));
        Ok(Moments {
            first: self.has_first().then(zeros).transpose()?,
            second: self.has_second().then(zeros).transpose()?,
            average: None,
            out_births: out_axis.map(births).transpose()?,
            in_births: in_axis.map(births).transpose()?,
        })
    }

    /// Whether it has first moments.
    pub fn has_first(&self) -> bool {
        !matches!(self, Self::RmsProp { .. })
    }

    /// Whether it has second moments.
    pub fn has_second(&self) -> bool {
        !matches!(self, Self::Sgd { .. })
    }

    /// The parameter after a step with this gradient; updates the moments, and the average if there is one and the terms
    /// say what it keeps of itself. Every element has the [`Rate`] of its own birth; decay comes off the element itself,
    /// beside the step. What would become infinite stays at the largest finite number.
    ///
    /// # Errors
    /// Shapes that differ from the parameter's, moments of another optimizer, terms that are [`Unsteppable`]; nothing has
    /// changed then.
    pub fn step(
        &self,
        parameter: &Tensor,
        gradient: &Tensor,
        moments: &mut Moments,
        terms: &Terms,
    ) -> Result<Tensor, UpdateError> {
        if parameter.device().is_cpu() {
            return update::update(self, parameter, gradient, moments, terms);
        }
        tensors::update(self, (parameter, gradient), moments, terms)
    }

    /// [`Optimizer::step`] with [`Terms::plain`].
    ///
    /// # Errors
    /// Those of [`Optimizer::step`].
    pub fn update(
        &self,
        parameter: &Tensor,
        gradient: &Tensor,
        moments: &mut Moments,
        step: u64,
        rate: &Rate,
    ) -> candle_core::Result<Tensor> {
        self.step(parameter, gradient, moments, &Terms::plain(step, *rate)).map_err(|error| match error {
            UpdateError::Unsteppable(reason) => candle_core::Error::wrap(reason),
            UpdateError::Tensor(error) => error,
        })
    }
}

impl Moments {
    /// The runs of elements that were born together, of a parameter of these dimensions: they cover every element once,
    /// in row-major order, and neighbours differ in birth.
    ///
    /// # Errors
    /// Births that do not fit the dimensions.
    pub fn spans(&self, dims: &[usize]) -> candle_core::Result<Vec<Span>> {
        spans::spans(dims, self)
    }
}

impl OptimizerState {
    /// The state as a safetensors file, for the checkpoint: the same bytes for the same values.
    pub fn to_bytes(&self) -> Result<Vec<u8>, OptimizerError> {
        state_file::to_bytes(self)
    }

    /// Reads the file back onto a device.
    pub fn from_bytes(bytes: &[u8], device: &Device) -> Result<Self, OptimizerError> {
        state_file::from_bytes(bytes, device)
    }
}

/// A step over tensors that was not done.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// Its terms do not keep numbers finite.
    #[error(transparent)]
    Unsteppable(#[from] Unsteppable),
    /// Shapes or moments that do not fit, or the tensor library failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
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

#[cfg(test)]
mod tests;
