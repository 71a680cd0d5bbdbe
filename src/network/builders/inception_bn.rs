//! `inception_bn`: the network that Net2Net was measured on (§3.1 and figure 5), in a size for small images.
//!
//! A module is four branches side by side, every convolution followed by BatchNorm and ReLU (Ioffe and Szegedy 2015):
//! 1x1; 1x1 and a pair of 3x1 and 1x3; 1x1 and two such pairs; a 3x3 average pool and 1x1. The pairs stand where the
//! original has 3x3 convolutions, and are what the paper's deeper growth adds.

use super::super::error::NetworkError;
use super::super::graph::NodeId;
use super::super::ops::avg_pool::AvgPool;
use super::super::ops::concat::Concat;
use super::super::ops::conv2d::Conv2d;
use super::super::ops::global_avg_pool::GlobalAvgPool;
use super::super::ops::max_pool::MaxPool;
use super::super::shape::Shape;
use super::draft::{Draft, halved, is_large, plane_of};

/// How many modules stand between two pools.
const MODULES_OF_A_GROUP: usize = 2;

/// The stem is pooled where both sides of the plane have at least this many positions: smaller images keep their plane
/// for the modules.
const SMALLEST_POOLED_STEM: usize = 16;

/// The most modules.
const MAX_MODULES: usize = 100;

/// The largest width multiplier.
const MAX_WIDTH: f64 = 1000.0;

/// The channels of a module's convolutions in the first group, at a width of 1; they double with every pool after it.
struct Channels {
    /// Branch a: 1x1.
    direct: f64,
    /// Branch b: the 1x1 before its pair.
    single_reduce: f64,
    /// Branch b: both convolutions of its pair.
    single: f64,
    /// Branch c: the 1x1 before its pairs.
    double_reduce: f64,
    /// Branch c: the four convolutions of its pairs.
    double: f64,
    /// Branch d: the 1x1 behind its pool.
    pooled: f64,
}

const CHANNELS: Channels =
    Channels { direct: 16.0, single_reduce: 16.0, single: 24.0, double_reduce: 8.0, double: 16.0, pooled: 8.0 };

/// All but the output layer.
pub(super) fn inception_bn(
    draft: &mut Draft,
    input: &Shape,
    (modules, width, stem): (usize, f64, usize),
) -> Result<(), NetworkError> {
    let mut plane = plane_of("inception_bn", input)?;
    check(modules, width, stem)?;
    let mut at = draft.active(&NodeId::input(), "stem", Conv2d::same(stem, [3, 3]));
    if plane.0.min(plane.1) >= SMALLEST_POOLED_STEM {
        at = draft.add("stem_pool", pool());
        plane = halved(plane);
    }
    let mut scale = width;
    for index in 0..modules {
        let begins_group = index > 0 && index.is_multiple_of(MODULES_OF_A_GROUP);
        if begins_group && is_large(plane) {
            at = draft.add(&format!("pool{}", index / MODULES_OF_A_GROUP), pool());
            plane = halved(plane);
            scale *= 2.0;
        }
        at = module(draft, &at, &format!("module{}", index + 1), scale);
    }
    draft.add("pool", GlobalAvgPool);
    Ok(())
}

fn check(modules: usize, width: f64, stem: usize) -> Result<(), NetworkError> {
    let refuse = |reason: String| Err(NetworkError::Graph(reason));
    if !(1..=MAX_MODULES).contains(&modules) {
        return refuse(format!("`modules` is from 1 to {MAX_MODULES}"));
    }
    if !(width > 0.0 && width <= MAX_WIDTH) {
        return refuse(format!(
            "`width` is above 0 and at most {MAX_WIDTH}: what the modules' channels are multiplied by"
        ));
    }
    if stem == 0 {
        return refuse("`stem` is at least 1".into());
    }
    Ok(())
}

/// A 3x3 max pool that halves the plane.
fn pool() -> MaxPool {
    MaxPool { kernel: [3, 3], stride: [2, 2], padding: [1, 1] }
}

/// One module behind `input`: `NAME_a`, `NAME_b_…`, `NAME_c_…`, `NAME_d…` and `NAME`, their concatenation.
fn module(draft: &mut Draft, input: &NodeId, name: &str, scale: f64) -> NodeId {
    // The conversion saturates: what is beyond counting is refused with the network's size.
    let channels = |base: f64| ((base * scale).round() as usize).max(1);
    let part = |suffix: &str| format!("{name}_{suffix}");
    let direct = draft.active(input, &part("a"), Conv2d::same(channels(CHANNELS.direct), [1, 1]));

    let reduced = draft.active(input, &part("b_reduce"), Conv2d::same(channels(CHANNELS.single_reduce), [1, 1]));
    let single = pair(draft, &reduced, &part("b"), channels(CHANNELS.single));

    let reduced = draft.active(input, &part("c_reduce"), Conv2d::same(channels(CHANNELS.double_reduce), [1, 1]));
    let first = pair(draft, &reduced, &part("c1"), channels(CHANNELS.double));
    let double = pair(draft, &first, &part("c2"), channels(CHANNELS.double));

    let window = AvgPool { kernel: [3, 3], stride: [1, 1], padding: [1, 1] };
    let pooled = draft.after(input, &part("d_pool"), window);
    let pooled = draft.active(&pooled, &part("d"), Conv2d::same(channels(CHANNELS.pooled), [1, 1]));
    draft.join(&[direct, single, double, pooled], name, Concat)
}

/// A vertical and a horizontal convolution, one behind the other.
fn pair(draft: &mut Draft, input: &NodeId, name: &str, channels: usize) -> NodeId {
    let vertical = draft.active(input, &format!("{name}_3x1"), Conv2d::same(channels, [3, 1]));
    draft.active(&vertical, &format!("{name}_1x3"), Conv2d::same(channels, [1, 3]))
}
