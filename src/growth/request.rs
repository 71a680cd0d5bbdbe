//! What can be asked for: the growth documents of the HTTP surface, minus the names that only a learner knows.

use serde::{Deserialize, Serialize};

use crate::network::NodeId;

/// A growth to plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrowthRequest {
    /// More channels (Net2WiderNet, §2.2).
    Wider(Wider),
    /// More layers (Net2DeeperNet, §2.3).
    Deeper(Deeper),
    /// More input features at the end of a flat input: zero columns.
    Inputs { add: usize },
    /// More outputs at the end: zero weights, bias ln ε + `log_sum_exp` − ln `add`, so that all of them
    /// together take at most ε. `log_sum_exp` is the smallest log-sum-exp of the old logits over the probe rows,
    /// measured by the caller because a plan sees no data.
    Classes { add: usize, epsilon: f64, log_sum_exp: f64 },
}

/// Which nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Nodes {
    /// Every node that can.
    All,
    /// These, in this order.
    These(Vec<NodeId>),
}

/// How far to widen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Extent {
    /// To this many channels.
    To(usize),
    /// By this factor (above 1), rounded up to a whole channel.
    Factor(f64),
}

/// A widening.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Wider {
    /// Which nodes: those that produce channels, other than the output.
    pub nodes: Nodes,
    /// How far.
    pub extent: Extent,
    /// How the copies share.
    pub split: Split,
}

/// How the outgoing weights of a unit are shared by its copies.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// Unequal random shares for every weight, the last copy taking the remainder: symmetry broken, no noise.
    #[default]
    Replicate,
    /// Equal shares, and the paper's noise on the outgoing weights of all but the first copy: standard deviation `noise` ×
    /// that of the weight; with noise above 0 the plan is approximate and accepts a relative difference of 0.1.
    Paper { noise: f64 },
    /// New units random in, zero out.
    Fresh,
}

/// A deepening.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Deeper {
    /// After which nodes the new layer stands: producers of channels (it goes behind their BatchNorm and activation), or
    /// any other hidden node (directly behind it).
    pub after: Nodes,
    /// What the new layer is.
    pub kind: DeeperKind,
}

/// The kinds of new layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeeperKind {
    /// An identity layer with the same activation; only where that activation leaves the values alone.
    #[default]
    Identity,
    /// x + branch(x) with the branch's last layer zero: anywhere.
    Residual,
}
