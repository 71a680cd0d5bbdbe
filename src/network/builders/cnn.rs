//! `cnn`: convolutions with BatchNorm and ReLU, each pooled while the plane is large enough.

use super::super::error::NetworkError;
use super::super::graph::NodeId;
use super::super::ops::conv2d::Conv2d;
use super::super::ops::global_avg_pool::GlobalAvgPool;
use super::super::ops::max_pool::MaxPool;
use super::super::shape::Shape;
use super::draft::{Draft, is_large, plane_of};

/// All but the output layer.
pub(super) fn cnn(draft: &mut Draft, input: &Shape, channels: &[usize]) -> Result<(), NetworkError> {
    let (mut height, mut width) = plane_of("cnn", input)?;
    if channels.is_empty() {
        return Err(NetworkError::Graph("a `cnn` needs at least one convolution in `channels`".into()));
    }
    let mut at = NodeId::input();
    for (index, &out) in channels.iter().enumerate() {
        let name = format!("conv{}", index + 1);
        at = draft.active(&at, &name, Conv2d::same(out, [3, 3]));
        if is_large((height, width)) {
            at = draft.add(&format!("{name}_pool"), MaxPool::unpadded([2, 2], [2, 2]));
            (height, width) = (height / 2, width / 2);
        }
    }
    draft.add("pool", GlobalAvgPool);
    Ok(())
}
