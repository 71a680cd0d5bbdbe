//! The shape of one example's value at a node, without the batch axis.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::compute::kernels::Place;

/// The shape of one row's value: `[features]`, or `[channels, height, width]`.
///
/// The first axis is always the channel axis: what widening makes larger. Never empty, no axis is zero.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Shape(Vec<usize>);

impl Shape {
    /// A flat row of `features` numbers.
    pub fn flat(features: usize) -> Self {
        Self(vec![features])
    }

    /// An image of `channels` planes.
    pub fn image(channels: usize, height: usize, width: usize) -> Self {
        Self(vec![channels, height, width])
    }

    /// The sizes of the axes, channels first.
    pub fn axes(&self) -> &[usize] {
        &self.0
    }

    /// The size of the channel axis.
    pub fn channels(&self) -> usize {
        self.0[0]
    }

    /// How many positions every channel has: 1 for a flat row, height × width for an image.
    pub fn positions(&self) -> usize {
        self.0[1..].iter().product()
    }

    /// How many numbers one row holds.
    pub fn elements(&self) -> usize {
        self.0.iter().product()
    }

    /// Height and width of an image, or `None` for a flat row.
    pub fn plane(&self) -> Option<(usize, usize)> {
        match self.0[..] {
            [_, height, width] => Some((height, width)),
            _ => None,
        }
    }

    /// The extent of one row as kernels see it, channels last.
    pub fn place(&self) -> Place {
        let (height, width) = self.plane().unwrap_or((1, 1));
        Place { height, width, channels: self.channels() }
    }

    /// The same shape with another number of channels.
    pub fn with_channels(&self, channels: usize) -> Self {
        let mut axes = self.0.clone();
        axes[0] = channels;
        Self(axes)
    }

    /// The shape of a batch of `rows` such values.
    pub fn batched(&self, rows: usize) -> Vec<usize> {
        let mut axes = Vec::with_capacity(self.0.len() + 1);
        axes.push(rows);
        axes.extend_from_slice(&self.0);
        axes
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let axes: Vec<String> = self.0.iter().map(usize::to_string).collect();
        formatter.write_str(&axes.join("x"))
    }
}
