//! `resnet`: a residual network of basic blocks for small images (He et al. 2015 §4.2), post- or pre-activation.
//!
//! Every block is two 3x3 convolutions beside a shortcut. The first block of every stage but the first doubles the
//! channels and, while the plane is large enough, halves the plane; its shortcut is then a 1x1 projection.

use serde::{Deserialize, Serialize};

use super::super::error::NetworkError;
use super::super::graph::NodeId;
use super::super::ops::add::Add;
use super::super::ops::batch_norm::BatchNorm;
use super::super::ops::conv2d::Conv2d;
use super::super::ops::global_avg_pool::GlobalAvgPool;
use super::super::ops::relu::Relu;
use super::super::shape::Shape;
use super::check_widths;
use super::draft::{Draft, halved, is_large, plane_of};

/// The most stages: each doubles the channels.
const MAX_STAGES: usize = 16;

/// The most blocks of all stages together.
const MAX_BLOCKS: usize = 500;

/// Where norms and activations stand in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResnetStyle {
    /// Convolution, BatchNorm, ReLU; the last ReLU of a block stands behind the sum (He et al. 2015). Projections have
    /// a BatchNorm.
    #[default]
    Post,
    /// BatchNorm, ReLU, convolution, and nothing behind the sum, so that the shortcuts carry values unchanged from end
    /// to end; one more BatchNorm and ReLU at the end (He et al. 2016). The first block's shortcut and projections take
    /// what is normed and active already.
    Pre,
}

/// All but the output layer.
pub(super) fn resnet(
    draft: &mut Draft,
    input: &Shape,
    (blocks, width, style): (&[usize], usize, ResnetStyle),
) -> Result<(), NetworkError> {
    let mut plane = plane_of("resnet", input)?;
    check(blocks, width)?;
    let stem = Conv2d::same(width, [3, 3]);
    let mut at = match style {
        ResnetStyle::Post => draft.active(&NodeId::input(), "stem", stem),
        ResnetStyle::Pre => draft.add("stem", stem),
    };
    for (stage, &count) in blocks.iter().enumerate() {
        for block in 0..count {
            let starts = stage > 0 && block == 0;
            let halves = starts && is_large(plane);
            if halves {
                plane = halved(plane);
            }
            let entry = match (starts, stage + block) {
                (true, _) => Entry::Projection { stride: if halves { 2 } else { 1 } },
                (false, 0) => Entry::First,
                (false, _) => Entry::Shortcut,
            };
            let name = format!("stage{}_block{}", stage + 1, block + 1);
            let out = width.saturating_mul(1 << stage);
            at = match style {
                ResnetStyle::Post => post(draft, &at, &name, (out, entry)),
                ResnetStyle::Pre => pre(draft, &at, &name, (out, entry)),
            };
        }
    }
    if style == ResnetStyle::Pre {
        draft.add("norm", BatchNorm::default());
        draft.add("relu", Relu);
    }
    draft.add("pool", GlobalAvgPool);
    Ok(())
}

fn check(blocks: &[usize], width: usize) -> Result<(), NetworkError> {
    check_widths("blocks", blocks)?;
    if width == 0 {
        return Err(NetworkError::Graph("`width` is at least 1".into()));
    }
    if !(1..=MAX_STAGES).contains(&blocks.len()) {
        return Err(NetworkError::Graph(format!("`blocks` has 1 to {MAX_STAGES} stages")));
    }
    let (value, limit) = (blocks.iter().fold(0, |all: usize, &count| all.saturating_add(count)), MAX_BLOCKS);
    if value > limit {
        let (value, limit) = (value as u64, limit as u64);
        return Err(NetworkError::TooLarge { what: "the number of residual blocks", value, limit });
    }
    Ok(())
}

/// How a block begins.
#[derive(Clone, Copy)]
enum Entry {
    /// The network's first block.
    First,
    /// A block that keeps the shape.
    Shortcut,
    /// A block that changes the shape.
    Projection { stride: usize },
}

impl Entry {
    fn convolution(self, out: usize, kernel: [usize; 2]) -> Conv2d {
        let stride = if let Self::Projection { stride } = self { stride } else { 1 };
        Conv2d { stride: [stride; 2], ..Conv2d::same(out, kernel) }
    }
}

/// `NAME_a`, `NAME_b` and the shortcut, summed and then active.
fn post(draft: &mut Draft, input: &NodeId, name: &str, (out, entry): (usize, Entry)) -> NodeId {
    let inner = draft.active(input, &format!("{name}_a"), entry.convolution(out, [3, 3]));
    let branch = draft.normed(&inner, &format!("{name}_b"), Conv2d::same(out, [3, 3]));
    let shortcut = match entry {
        Entry::First | Entry::Shortcut => input.clone(),
        Entry::Projection { .. } => draft.normed(input, &format!("{name}_project"), entry.convolution(out, [1, 1])),
    };
    draft.join(&[shortcut, branch], &format!("{name}_add"), Add);
    draft.add(&format!("{name}_relu"), Relu)
}

/// The same, every convolution behind its norm and activation.
fn pre(draft: &mut Draft, input: &NodeId, name: &str, (out, entry): (usize, Entry)) -> NodeId {
    draft.after(input, &format!("{name}_a_norm"), BatchNorm::default());
    let active = draft.add(&format!("{name}_a_relu"), Relu);
    draft.add(&format!("{name}_a"), entry.convolution(out, [3, 3]));
    draft.add(&format!("{name}_b_norm"), BatchNorm::default());
    draft.add(&format!("{name}_b_relu"), Relu);
    let branch = draft.add(&format!("{name}_b"), Conv2d::same(out, [3, 3]));
    let shortcut = match entry {
        Entry::First => active,
        Entry::Shortcut => input.clone(),
        Entry::Projection { .. } => draft.after(&active, &format!("{name}_project"), entry.convolution(out, [1, 1])),
    };
    draft.join(&[shortcut, branch], &format!("{name}_add"), Add)
}
