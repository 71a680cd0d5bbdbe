//! Batches seen by channel: what the ops with one number a channel share (norms, PReLU).

use candle_core::Tensor;

use super::linear::column_sums;

/// The shape of one number a channel that broadcasts over a batch of the shape `dims`.
pub(super) fn across_channels(dims: &[usize]) -> Vec<usize> {
    dims.iter().enumerate().map(|(axis, &size)| if axis == 1 { size } else { 1 }).collect()
}

/// A batch as `[channels, rows * positions]`: every channel is one run of memory.
pub(super) fn channels_first(batch: &Tensor) -> candle_core::Result<Tensor> {
    batch.transpose(0, 1)?.contiguous()?.flatten_from(1)
}

/// The way back from [`channels_first`].
pub(super) fn rows_first(by_channel: &Tensor, dims: &[usize]) -> candle_core::Result<Tensor> {
    let mut swapped = dims.to_vec();
    swapped.swap(0, 1);
    by_channel.reshape(swapped)?.transpose(0, 1)?.contiguous()
}

/// The sums over all rows and positions of a batch, one a channel: `[channels]`.
pub(super) fn channel_sums(batch: &Tensor) -> candle_core::Result<Tensor> {
    // The last axes first: these are the sums that candle does with vectors.
    let by_row = if batch.rank() > 2 { batch.contiguous()?.flatten_from(2)?.sum(2)? } else { batch.contiguous()? };
    column_sums(&by_row)
}
