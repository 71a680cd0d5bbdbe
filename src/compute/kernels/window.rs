//! Windows over a plane as the pools and the convolutions of single channels walk them: output by output, tap by tap,
//! the channels of a position as vectors. [`Windows::walk`] is the one loop; a [`Walker`] says what becomes of what it
//! sees.
//!
//! Vectors pass through nothing but `#[inline(always)]` functions, as [`super::tile`] explains.

use super::crew::Crew;
use super::kernel::Place;
use super::strip::Sliding;
use crate::compute::vectors::{Simd, SimdLoop, Vectors};

/// A window that slides over images of one place.
#[derive(Debug, Clone)]
pub(super) struct Windows {
    /// What enters.
    pub input: Place,
    /// What leaves, with as many channels.
    pub output: Place,
    sliding: Sliding,
    /// What every row of outputs sees.
    rows: Vec<Inside>,
    /// What every column of outputs sees.
    columns: Vec<Inside>,
}

/// The taps of an output along one axis that lie inside the plane.
#[derive(Debug, Clone, Copy)]
struct Inside {
    /// How far the first lies from the plane's and the kernel's beginning, along this axis alone; 0 if there is none.
    first: Tap,
    /// How many there are: none where the window lies in the padding alone.
    count: usize,
}

impl Windows {
    /// A window that fits the plane.
    ///
    /// # Panics
    /// Places of different channels.
    pub(super) fn new(input: Place, output: Place, sliding: Sliding) -> Self {
        assert_eq!(input.channels, output.channels, "a window sees the channels of its output");
        let origin = Tap { number: 0.0, seen: 0, own: 0 };
        let inside = |axis: usize, outputs: usize, side: usize| {
            // From one tap, or position, to the next along the axis.
            let tap = [sliding.kernel[1], 1][axis];
            let position = [input.width, 1][axis] * input.channels;
            let of = move |output: usize| {
                let (start, step) = (output * sliding.stride[axis], sliding.dilation[axis]);
                let end = (side + sliding.padding[axis]).saturating_sub(start).div_ceil(step).min(sliding.kernel[axis]);
                let first = sliding.padding[axis].saturating_sub(start).div_ceil(step).min(end);
                if first == end {
                    return Inside { first: origin, count: 0 };
                }
                let seen = (start + first * step - sliding.padding[axis]) * position;
                let (number, own) = ((first * tap) as f32, first * tap * input.channels);
                Inside { first: Tap { number, seen, own }, count: end - first }
            };
            (0..outputs).map(of).collect()
        };
        let rows = inside(0, output.height, input.height);
        let columns = inside(1, output.width, input.width);
        Self { input, output, sliding, rows, columns }
    }

    /// Lets a walker see every tap of every output, in row-major order of both.
    ///
    /// # Panics
    /// A walker that these windows do not fit.
    pub(super) fn walk<W: Walker>(&self, vectors: Vectors, walker: W) {
        vectors.run(Walk { windows: self, walker });
    }

    /// From one tap to the next below it and to the next beside it.
    fn steps(&self) -> [Tap; 2] {
        let (channels, dilation, width) = (self.input.channels, self.sliding.dilation, self.sliding.kernel[1]);
        let below = dilation[0] * self.input.width * channels;
        [
            Tap { number: width as f32, seen: below, own: width * channels },
            Tap { number: 1.0, seen: dilation[1] * channels, own: channels },
        ]
    }

    /// How many taps a window has.
    pub(super) fn taps(&self) -> usize {
        self.sliding.kernel[0] * self.sliding.kernel[1]
    }

    /// Operations of one row, about one for a tap.
    pub(super) fn operations(&self) -> usize {
        self.output.numbers() * self.taps()
    }
}

/// Some channels of an output, as many as a vector holds or the last of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    /// Where they begin among the numbers that leave.
    pub at: usize,
    /// The first of them.
    pub channel: usize,
    /// How many there are: 1 to all lanes.
    pub count: usize,
    /// One over how many taps of the window lie inside the plane.
    pub share: f32,
}

/// What the same channels meet at a tap inside the plane.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tap {
    /// The number of the tap, row-major. The pools keep it, as a number among others.
    pub number: f32,
    /// Where the channels begin among the numbers that enter.
    pub seen: usize,
    /// Where they begin among numbers `[taps, channels]`.
    pub own: usize,
}

impl Tap {
    /// The tap so many steps further.
    #[inline(always)]
    fn plus(self, step: Self) -> Self {
        Self { number: self.number + step.number, seen: self.seen + step.seen, own: self.own + step.own }
    }
}

/// What becomes of what a window sees. All functions are `#[inline(always)]`: vectors pass through them.
pub(super) trait Walker {
    /// What is carried from tap to tap, in registers.
    type Carried<S: Simd>;

    /// Whether its slices are as long as what enters and leaves these windows.
    fn fits(&self, windows: &Windows) -> bool;

    /// Begins an output, before its first tap. A window that lies in the padding alone has none, and is given one that
    /// lies inside the plane all the same.
    ///
    /// # Safety
    /// Inside [`Vectors::run`], with an output and a tap of windows that fit. The same holds for `see` and `end`.
    unsafe fn begin<S: Simd>(&mut self, output: Output, first: Tap) -> Self::Carried<S>;

    /// Sees a tap.
    unsafe fn see<S: Simd>(&mut self, output: Output, tap: Tap, carried: Self::Carried<S>) -> Self::Carried<S>;

    /// Ends an output, after its last tap.
    unsafe fn end<S: Simd>(&mut self, output: Output, carried: Self::Carried<S>);
}

/// The loop over the windows of one row.
struct Walk<'a, W> {
    windows: &'a Windows,
    walker: W,
}

impl<W: Walker> SimdLoop for Walk<'_, W> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self) {
        let windows = self.windows;
        assert!(self.walker.fits(windows), "a walker fits its windows");
        let channels = windows.output.channels;
        let [below, beside] = windows.steps();
        let mut start = 0;
        for row in &windows.rows {
            for column in &windows.columns {
                let first = row.first.plus(column.first);
                let (lines, width) = (row.count, column.count);
                let share = 1.0 / (lines * width) as f32;
                for channel in (0..channels).step_by(S::LANES) {
                    let count = S::LANES.min(channels - channel);
                    let output = Output { at: start + channel, channel, count, share };
                    let mut line = first.plus(Tap { number: 0.0, seen: channel, own: channel });
                    // SAFETY: inside `Vectors::run`, and the windows fit the walker.
                    unsafe {
                        let mut carried = self.walker.begin::<S>(output, line);
                        for _ in 0..lines {
                            let mut tap = line;
                            for _ in 0..width {
                                carried = self.walker.see::<S>(output, tap, carried);
                                tap = tap.plus(beside);
                            }
                            line = line.plus(below);
                        }
                        self.walker.end::<S>(output, carried);
                    }
                }
                start += channels;
            }
        }
    }
}

/// The vectors for so many channels: parts of wide ones cost more than whole narrow ones.
pub(super) fn vectors_for(channels: usize, crew: &Crew) -> Vectors {
    match crew.vectors {
        Vectors::Avx512 if channels <= Vectors::Avx2.lanes() => Vectors::Avx2,
        vectors => vectors,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a walk has shown: of every output its numbers, and of every tap.
    #[derive(Default)]
    struct Recorder {
        outputs: Vec<([usize; 3], f32)>,
        taps: Vec<Vec<(f32, usize, usize)>>,
    }

    impl Walker for &mut Recorder {
        type Carried<S: Simd> = Vec<(f32, usize, usize)>;

        fn fits(&self, _: &Windows) -> bool {
            true
        }

        unsafe fn begin<S: Simd>(&mut self, output: Output, _: Tap) -> Self::Carried<S> {
            self.outputs.push(([output.at, output.channel, output.count], output.share));
            Vec::new()
        }

        unsafe fn see<S: Simd>(&mut self, _: Output, tap: Tap, mut taps: Self::Carried<S>) -> Self::Carried<S> {
            taps.push((tap.number, tap.seen, tap.own));
            taps
        }

        unsafe fn end<S: Simd>(&mut self, _: Output, taps: Self::Carried<S>) {
            self.taps.push(taps);
        }
    }

    fn pair(sizes: std::ops::Range<usize>) -> impl Strategy<Value = [usize; 2]> {
        [sizes.clone(), sizes]
    }

    proptest! {
        #[test]
        fn every_output_sees_the_taps_inside_the_plane_in_order(
            (plane, outputs, channels) in (pair(1..6), pair(1..6), 1usize..40),
            (kernel, stride, dilation, padding) in (pair(1..5), pair(1..4), pair(1..4), pair(0..7)),
        ) {
            let place = |[height, width]: [usize; 2]| Place { height, width, channels };
            let windows = Windows::new(place(plane), place(outputs), Sliding { kernel, stride, padding, dilation });
            let (mut found, vectors) = (Recorder::default(), Vectors::widest());
            windows.walk(vectors, &mut found);
            let mut expected = Recorder::default();
            for (row, column) in (0..outputs[0]).flat_map(|row| (0..outputs[1]).map(move |column| (row, column))) {
                for channel in (0..channels).step_by(vectors.lanes()) {
                    let mut taps = Vec::new();
                    for number in 0..kernel[0] * kernel[1] {
                        let at = |axis: usize, output: usize, tap: usize| {
                            let padded = output * stride[axis] + tap * dilation[axis];
                            padded.checked_sub(padding[axis]).filter(|&at| at < plane[axis])
                        };
                        let seen = (at(0, row, number / kernel[1]), at(1, column, number % kernel[1]));
                        if let (Some(row), Some(column)) = seen {
                            let seen = (row * plane[1] + column) * channels + channel;
                            taps.push((number as f32, seen, number * channels + channel));
                        }
                    }
                    let at = (row * outputs[1] + column) * channels + channel;
                    let count = vectors.lanes().min(channels - channel);
                    expected.outputs.push(([at, channel, count], 1.0 / taps.len() as f32));
                    expected.taps.push(taps);
                }
            }
            prop_assert_eq!(found.outputs, expected.outputs);
            prop_assert_eq!(found.taps, expected.taps);
        }
    }
}
