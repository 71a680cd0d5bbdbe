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
    /// Every node that can and whose id matches: `*` stands for any characters, `module*` for a whole part of a network.
    Matching(String),
    /// These, in this order.
    These(Vec<NodeId>),
}

impl Nodes {
    /// Whether a node that can grow is one of those that were asked for as a kind, not by its id.
    pub(super) fn matches(&self, id: &NodeId) -> bool {
        match self {
            Self::All => true,
            Self::Matching(pattern) => matches(pattern, id.as_str()),
            Self::These(ids) => ids.contains(id),
        }
    }
}

/// Whether the text is the pattern with something, perhaps nothing, for every `*`.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((before, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(text) = text.strip_prefix(before) else {
        return false;
    };
    (0..=text.len()).filter(|&at| text.is_char_boundary(at)).any(|at| matches(rest, &text[at..]))
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
    /// New units random in and out: the paper's baseline "random pad" (§3.2). Not preserving.
    RandomPad,
}

/// A deepening.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Deeper {
    /// After which nodes the new layer stands: producers of channels (it goes behind their BatchNorm and activation), or
    /// any other hidden node (directly behind it).
    pub after: Nodes,
    /// What the new layer is.
    pub kind: DeeperKind,
    /// What stands between the new layer and its activation.
    #[serde(default)]
    pub norm: NewNorm,
    /// How wide the new layer is: as wide as what it stands behind unless this says more. An identity is then widened by
    /// composition (§2.3: Net2WiderNet after Net2DeeperNet), the branch of a residual is made so wide.
    #[serde(default)]
    pub width: Option<Extent>,
}

impl Deeper {
    /// New layers of this kind without a norm, as wide as what they stand behind.
    pub fn plain(after: Nodes, kind: DeeperKind) -> Self {
        Self { after, kind, norm: NewNorm::None, width: None }
    }
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
    /// Where an identity would stand, with weights as those of a new network: the paper's baseline "random
    /// initialization" (§3.3). Not preserving.
    Random,
}

/// The norm of a new layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NewNorm {
    /// None.
    #[default]
    None,
    /// A BatchNorm. Behind an identity its statistics are measured by running data through, and scale and shift undo them
    /// (§2.3): exact in evaluation, approximate in training.
    Batch,
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, text) in
            [("*", ""), ("*", "a"), ("a*", "a"), ("module*", "module12_a"), ("*_a", "x_a"), ("m*_a*", "m1_ab")]
        {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("", "a"), ("a", "ab"), ("module*", "stem"), ("*_a", "x_ab"), ("a*b*c", "acb")] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }
}
