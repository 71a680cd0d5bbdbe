//! Named parameters and the role of every axis.

use std::collections::BTreeMap;
use std::fmt;

use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::graph::NodeId;

/// A parameter's name, unique in its network: `node/parameter`, for example `hidden1/weight`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ParameterId(String);

impl ParameterId {
    /// The parameter `name` of `node`.
    pub fn new(node: &NodeId, name: &str) -> Self {
        Self(format!("{node}/{name}"))
    }

    /// Reads back what [`ParameterId::as_str`] gave, as the weights file holds it.
    pub fn from_stored(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ParameterId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What an axis of a parameter runs over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AxisRole {
    /// The node's output channels.
    Out,
    /// The channels of the node's input number `input`.
    In { input: usize },
    /// The channels of one group of the node's input number `input`, of which there are `groups` of one layout.
    InGroup { input: usize, groups: usize },
    /// The alternatives of one channel, all alike: the pieces of Maxout.
    Piece,
    /// Neither: a kernel's height or width.
    Neither,
}

impl AxisRole {
    /// The input whose channels the axis consumes.
    pub fn consumes(self) -> Option<usize> {
        match self {
            Self::In { input } | Self::InGroup { input, .. } => Some(input),
            Self::Out | Self::Piece | Self::Neither => None,
        }
    }

    /// Into how many groups the input's channels fall.
    pub fn groups(self) -> usize {
        match self {
            Self::InGroup { groups, .. } => groups,
            Self::Out | Self::In { .. } | Self::Piece | Self::Neither => 1,
        }
    }
}

/// Whether a parameter is learned by the optimizer or measured by the forward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ParameterKind {
    /// Has a gradient, counted as a parameter.
    Trained,
    /// A running statistic (BatchNorm's mean and variance): stored with the weights, never given to an optimizer.
    Statistic,
}

/// How a parameter starts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Initial {
    /// He-normal for a fan-in of `fan_in` inputs (He et al. 2015): mean 0, variance 2 / fan_in.
    HeNormal { fan_in: usize },
    /// Every element is this number.
    Constant(f32),
}

/// The declaration of one parameter of an op.
#[derive(Debug, Clone, PartialEq)]
pub struct ParameterSpec {
    /// The name within the node: `weight`, `bias`, `scale`, …
    pub name: &'static str,
    /// The sizes of the axes.
    pub dims: Vec<usize>,
    /// What every axis runs over; as long as `dims`.
    pub axes: Vec<AxisRole>,
    /// Learned or measured.
    pub kind: ParameterKind,
    /// The values of a new parameter.
    pub initial: Initial,
}

/// The axes of a parameter that run over channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelAxes {
    /// The axis over the node's own channels.
    pub out: Option<usize>,
    /// The axis over those of an input.
    pub input: Option<usize>,
}

impl ParameterSpec {
    /// Its axes that run over channels.
    pub fn channel_axes(&self) -> ChannelAxes {
        ChannelAxes {
            out: self.axes.iter().position(|role| *role == AxisRole::Out),
            input: self.axes.iter().position(|role| role.consumes().is_some()),
        }
    }

    /// How many numbers it has.
    pub fn elements(&self) -> usize {
        self.dims.iter().product()
    }

    /// The input whose channels it consumes, if it consumes any.
    pub fn consumes(&self) -> Option<usize> {
        self.axes.iter().find_map(|role| role.consumes())
    }
}

/// The values of all parameters of a network, by name, in order of name.
pub type Parameters = BTreeMap<ParameterId, Tensor>;

/// The device that parameters are on; the CPU where there are none.
pub fn device_of(parameters: &Parameters) -> Device {
    parameters.values().next().map_or(Device::Cpu, |tensor| tensor.device().clone())
}
