//! One step of a plan: from one graph to the next, and where every channel of the next comes from.
//!
//! The maps are over *units* (channels that are the same wherever they occur), so that a step is small whatever the size
//! of the network. Made by the kinds of growth, read by `apply`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::network::{Network, NodeId, ParameterId};

use super::request::Split;

/// One change of a network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// The graph after it.
    pub student: Network,
    /// What grows: one entry for every set of channels that grow together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub growths: Vec<UnitGrowth>,
    /// The channel axis of every tensor that grows, by the node that makes it; the input under its own id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub layouts: BTreeMap<NodeId, Vec<ChannelRange>>,
    /// How weights that consume copied channels are shared by the copies.
    #[serde(default)]
    pub split: Split,
    /// What the rows of new units begin with.
    #[serde(default)]
    pub new_rows: NewRows,
    /// The values of the parameters of new nodes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fills: BTreeMap<ParameterId, Fill>,
}

impl Step {
    /// A step that adds nodes and widens nothing.
    pub(super) fn inserting(student: Network, fills: BTreeMap<ParameterId, Fill>) -> Self {
        Self {
            student,
            growths: Vec::new(),
            layouts: BTreeMap::new(),
            split: Split::default(),
            new_rows: NewRows::Drawn,
            fills,
        }
    }

    /// What grows, each set of channels with the nodes that make it, in the order of [`Step::growths`].
    pub(super) fn sets(&self) -> impl Iterator<Item = ChannelSet> {
        self.growths.iter().enumerate().map(|(index, growth)| ChannelSet {
            nodes: self.makers(index),
            channels_before: growth.units,
            channels_after: growth.grown(),
        })
    }

    /// The nodes that make the channels of a growth; the network's input where they are its own.
    fn makers(&self, growth: usize) -> Vec<NodeId> {
        let holds = |id: &NodeId| {
            self.layouts.get(id).is_some_and(|ranges| ranges.iter().any(|range| range.growth == Some(growth)))
        };
        let makers = self.student.nodes().iter().filter(|node| node.op.produces_channels()).map(|node| node.id.clone());
        std::iter::once(NodeId::input()).chain(makers).filter(holds).collect()
    }
}

/// Channels that are the same wherever they occur, so that they grow together by one mapping.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelSet {
    /// The nodes that make them, in the network's order, or its input. A node stands in several sets where only a part of
    /// its channels is tied to others.
    pub nodes: Vec<NodeId>,
    /// How many there are.
    pub channels_before: usize,
    /// How many there will be.
    pub channels_after: usize,
}

/// Units (channels that are the same wherever they occur) and those that are added behind them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitGrowth {
    /// How many there are.
    pub units: usize,
    /// What is added.
    pub added: Added,
}

impl UnitGrowth {
    /// How many units there will be.
    pub fn grown(&self) -> usize {
        self.units
            + match &self.added {
                Added::Copies(sources) => sources.len(),
                Added::New(count) => *count,
            }
    }

    /// The unit that stands at `index` after the growth: an old one, or `None` for a new one.
    pub fn source(&self, index: usize) -> Option<usize> {
        match &self.added {
            _ if index < self.units => Some(index),
            Added::Copies(sources) => sources.get(index - self.units).copied(),
            Added::New(_) => None,
        }
    }
}

/// Units that are added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Added {
    /// Copies of these units (Net2WiderNet's random mapping g beyond the old units).
    Copies(Vec<usize>),
    /// So many that copy nothing.
    New(usize),
}

/// What the parameters of units that copy nothing begin with; what consumes these units begins with 0, but for
/// [`Split::RandomPad`].
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NewRows {
    /// What their op declares for new ones, drawn by the plan's seed.
    #[default]
    Drawn,
    /// Zero weights and this bias: new classes.
    Biased(f32),
}

/// A run of a tensor's channel axis.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelRange {
    /// How many units it has before the growth.
    pub units: usize,
    /// How many consecutive channels each unit has here (above 1 behind a Flatten).
    pub block: usize,
    /// Which of [`Step::growths`] grows it, if one does.
    pub growth: Option<usize>,
}

/// The values of a new node's parameter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fill {
    /// 1 where output and input channel are the same, at the middle of the kernel; 0 elsewhere.
    Identity,
    /// 0 everywhere.
    Zero,
    /// 1 everywhere: the slope of a PReLU that bends nothing.
    One,
    /// As its op declares, drawn by the plan's seed.
    Initial,
    /// This statistic of what `node` gives when data run through the teacher: measured before the plan can be applied.
    Measured { node: NodeId, statistic: Statistic },
    /// These numbers, which were measured.
    Values(Vec<f32>),
}

/// What of a channel is measured, over rows and positions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Statistic {
    /// The mean.
    Mean,
    /// The variance, biased, as a batch is normalised.
    Variance,
    /// √(variance + ε): the scale that undoes a BatchNorm of this ε, from the variance as it is stored.
    Deviation { epsilon: f64 },
}
