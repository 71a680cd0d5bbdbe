//! The geometry of a convolution as rows of numbers times panels: which numbers of a padded plane every output sees.
//!
//! The forward pass is one strip. The gradient by the input is a convolution of the padded output gradient, one strip for
//! each phase of the stride: the inputs of a phase are seen by the same taps of the kernel. For [`super::convolution`];
//! the windows of [`super::window`] slide by the same [`Sliding`].

use super::kernel::Place;

/// A window that slides over a plane; pairs are height and width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sliding {
    /// The size of the kernel.
    pub kernel: [usize; 2],
    /// From one output to the next.
    pub stride: [usize; 2],
    /// Zeros on each side.
    pub padding: [usize; 2],
    /// From one tap of the kernel to the next.
    pub dilation: [usize; 2],
}

/// A plane with zeros around it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Padded {
    /// What is inside.
    pub inner: Place,
    /// Rows and positions of zeros before it.
    pub before: [usize; 2],
    /// Height and width with all zeros.
    pub size: [usize; 2],
}

impl Padded {
    /// Numbers of one padded plane.
    pub fn numbers(&self) -> usize {
        self.size[0] * self.size[1] * self.inner.channels
    }

    /// Whether there are no zeros: the plane can be read where it lies.
    pub fn is_bare(&self) -> bool {
        self.size == [self.inner.height, self.inner.width]
    }

    /// Copies a plane into its zeros.
    pub fn fill(&self, plane: &[f32], to: &mut [f32]) {
        let channels = self.inner.channels;
        let (line, inner) = (self.size[1] * channels, self.inner.width * channels);
        let start = self.before[1] * channels;
        for (row, line) in to[..self.size[0] * line].chunks_exact_mut(line).enumerate() {
            match row.checked_sub(self.before[0]).filter(|&row| row < self.inner.height) {
                Some(row) => {
                    line[..start].fill(0.0);
                    line[start..start + inner].copy_from_slice(&plane[row * inner..(row + 1) * inner]);
                    line[start + inner..].fill(0.0);
                }
                None => line.fill(0.0),
            }
        }
    }
}

/// Rows of numbers times panels: what they see of a padded plane, and where each row's result goes.
#[derive(Debug, Clone)]
pub(super) struct Strip {
    /// Where the numbers behind each tap begin, relative to a row's start.
    pub taps: Vec<usize>,
    /// The taps of the kernel (row-major positions) in the order of the packed depths.
    pub kernel: Vec<usize>,
    /// Positions behind each tap: more than one where neighbours in the kernel are neighbours in the plane.
    pub positions: usize,
    /// For every row where it starts in the padded plane.
    pub from: Vec<usize>,
    /// For every row which position of the result it is.
    pub to: Vec<usize>,
}

impl Sliding {
    /// The padded input and the strip of the forward pass from `input` to `output`. Neighbours in the plane are joined
    /// only with all their channels: in one group.
    pub(super) fn forward(&self, input: Place, output: Place, groups: usize) -> (Padded, Strip) {
        let size = |axis: usize, side: usize| side + 2 * self.padding[axis];
        let padded = Padded { inner: input, before: self.padding, size: [size(0, input.height), size(1, input.width)] };
        let line = padded.size[1] * input.channels;
        let at = |row: usize, column: usize| row * line + column * input.channels;
        let [height, width] = self.kernel;
        let joined = groups == 1 && self.dilation[1] == 1;
        let firsts = if joined { 1 } else { width };
        let taps = (0..height).flat_map(|row| (0..firsts).map(move |column| (row, column)));
        let taps = taps.map(|(row, column)| at(row * self.dilation[0], column * self.dilation[1])).collect();
        let outputs = (0..output.height).flat_map(|row| (0..output.width).map(move |column| (row, column)));
        let from = outputs.map(|(row, column)| at(row * self.stride[0], column * self.stride[1])).collect();
        let strip = Strip {
            taps,
            kernel: (0..height * width).collect(),
            positions: if joined { width } else { 1 },
            from,
            to: (0..output.positions()).collect(),
        };
        (padded, strip)
    }

    /// The padded output gradient and the strips of the gradient by the input: together they give every position of
    /// `input` once.
    pub(super) fn backward(&self, input: Place, output: Place, groups: usize) -> (Padded, Vec<Strip>) {
        // Along an axis, input i gets from tap k the output (i + padding - k * dilation) / stride, where that is whole.
        let before = |axis: usize| (self.kernel[axis] - 1) * self.dilation[axis] / self.stride[axis];
        let seen = |axis: usize, side: usize| (side - 1 + self.padding[axis]) / self.stride[axis] + 1;
        let size = |axis: usize, input: usize, output: usize| before(axis) + seen(axis, input).max(output);
        let padded = Padded {
            inner: output,
            before: [before(0), before(1)],
            size: [size(0, input.height, output.height), size(1, input.width, output.width)],
        };
        let line = padded.size[1] * output.channels;
        let joined = groups == 1 && self.stride[1] == 1 && self.dilation[1] == 1;
        let mut strips = Vec::new();
        for row_phase in 0..self.stride[0] {
            for column_phase in 0..self.stride[1] {
                // Taps in descending order: their outputs then lie in ascending order.
                let of = |axis: usize, phase: usize| {
                    let stride = self.stride[axis];
                    (0..self.kernel[axis]).rev().filter(move |tap| tap * self.dilation[axis] % stride == phase)
                };
                let back = |axis: usize, tap: usize| before(axis) - tap * self.dilation[axis] / self.stride[axis];
                let kernel: Vec<(usize, usize)> =
                    of(0, row_phase).flat_map(|row| of(1, column_phase).map(move |column| (row, column))).collect();
                let positions = if joined { self.kernel[1] } else { 1 };
                let taps = kernel.iter().step_by(positions);
                let taps = taps.map(|&(row, column)| back(0, row) * line + back(1, column) * output.channels).collect();
                let along = |axis: usize, phase: usize, side: usize| {
                    let of_phase = move |at: &usize| (at + self.padding[axis]) % self.stride[axis] == phase;
                    (0..side).filter(of_phase)
                };
                let (mut from, mut to) = (Vec::new(), Vec::new());
                for row in along(0, row_phase, input.height) {
                    for column in along(1, column_phase, input.width) {
                        let at = |axis: usize, at: usize| (at + self.padding[axis]) / self.stride[axis];
                        from.push(at(0, row) * line + at(1, column) * output.channels);
                        to.push(row * input.width + column);
                    }
                }
                let kernel = kernel.into_iter().map(|(row, column)| row * self.kernel[1] + column).collect();
                strips.push(Strip { taps, kernel, positions, from, to });
            }
        }
        (padded, strips)
    }
}
