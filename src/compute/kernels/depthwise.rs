//! The convolution of single channels: every channel has kernels of its own and sees itself alone.
//!
//! Parameters: weight `[out, kernel height, kernel width]`, bias `[out]`, where output channel `c * multiplier + m` is
//! made of input channel `c`. With a multiplier the input's channels are repeated first, and all is as with one kernel a
//! channel. Weights are turned, so that the channels of a tap are one run.

use super::crew::Shared;
use super::kernel::{BackwardPass, ForwardPass, Kernel, Needs, Place};
use super::put::Put;
use super::scratch;
use super::strip::Sliding;
use super::tile::{load, store};
use super::window::{Output, Tap, Walker, Windows, vectors_for};
use crate::compute::vectors::{Extent, Simd, transpose};

/// A depthwise convolution over images of one place.
#[derive(Debug, Clone)]
pub struct Depthwise {
    /// The windows over the input with its channels repeated.
    windows: Windows,
    multiplier: usize,
}

impl Depthwise {
    /// A convolution whose windows fit the plane; the output has `multiplier` channels for each of the input's.
    pub fn new(input: Place, output: Place, sliding: Sliding) -> Self {
        let repeated = Place { channels: output.channels, ..input };
        Self { windows: Windows::new(repeated, output, sliding), multiplier: output.channels / input.channels }
    }

    /// Numbers of a row that enters.
    fn entering(&self) -> usize {
        self.windows.input.numbers() / self.multiplier
    }

    /// Runs `work` on a row with its channels repeated.
    fn repeated<R>(&self, row: &[f32], work: impl FnOnce(&[f32]) -> R) -> R {
        if self.multiplier == 1 {
            return work(row);
        }
        scratch::with(self.windows.input.numbers(), |wide| {
            let copies = wide.chunks_exact_mut(self.multiplier);
            copies.zip(row).for_each(|(copies, number)| copies.fill(*number));
            work(wide)
        })
    }

    /// Runs `work` on the weight as `[taps, channels]`.
    fn by_tap<R>(&self, weight: &[f32], work: impl FnOnce(&[f32]) -> R) -> R {
        scratch::with(weight.len(), |turned| {
            let (channels, taps) = (self.windows.output.channels, self.windows.taps());
            transpose(weight, turned, Extent { rows: channels, columns: taps, pitch: taps, turned_pitch: channels });
            work(turned)
        })
    }
}

impl Kernel for Depthwise {
    fn needs(&self) -> Needs {
        Needs { inputs: true, output: false }
    }

    fn forward(&self, pass: ForwardPass<'_>) {
        let (windows, input, bias) = (&self.windows, pass.inputs[0], pass.parameters[1]);
        let (entering, leaving) = (self.entering(), windows.output.numbers());
        let vectors = vectors_for(windows.output.channels, pass.crew);
        let output = Shared::new(pass.output);
        self.by_tap(pass.parameters[0], |weight| {
            pass.crew.each(pass.rows, 8 * pass.rows * windows.operations(), |row| {
                // SAFETY: rows do not overlap.
                let to = unsafe { output.part(row * leaving..(row + 1) * leaving) };
                self.repeated(&input[row * entering..(row + 1) * entering], |from| {
                    windows.walk(vectors, Outputs { weight, bias, from, to });
                });
            });
        });
    }

    fn backward(&self, pass: BackwardPass<'_>) {
        let (windows, input, gradient) = (&self.windows, pass.inputs[0], &*pass.gradient);
        let (entering, leaving) = (self.entering(), windows.output.numbers());
        let (channels, taps) = (windows.output.channels, windows.taps());
        let vectors = vectors_for(channels, pass.crew);
        let operations = 8 * pass.rows * windows.operations();
        // One partial sum a row for every tap and the bias.
        let width = (taps + 1) * channels;
        scratch::with(pass.rows * width, |partials| {
            let shared = Shared::new(partials);
            pass.crew.each(pass.rows, operations, |row| {
                // SAFETY: rows do not overlap.
                let sums = unsafe { shared.part(row * width..(row + 1) * width) };
                sums.fill(0.0);
                let gradient = &gradient[row * leaving..(row + 1) * leaving];
                self.repeated(&input[row * entering..(row + 1) * entering], |from| {
                    let (sums, bias) = sums.split_at_mut(taps * channels);
                    windows.walk(vectors, TapSums { from, gradient, sums, bias });
                });
            });
            let total = |at: usize| partials[at..].iter().step_by(width).fold(0.0, |sum, &one| sum + f64::from(one));
            for channel in 0..channels {
                for tap in 0..taps {
                    pass.parameter_gradients[0][channel * taps + tap] = total(tap * channels + channel) as f32;
                }
                pass.parameter_gradients[1][channel] = total(taps * channels + channel) as f32;
            }
        });
        let Some((to, put)) = pass.input_gradients[0].place() else { return };
        self.by_tap(pass.parameters[0], |weight| {
            pass.crew.each(pass.rows, operations, |row| {
                // SAFETY: rows do not overlap.
                let to = unsafe { to.part(row * entering..(row + 1) * entering) };
                let gradient = &gradient[row * leaving..(row + 1) * leaving];
                if self.multiplier == 1 {
                    if put == Put::Over {
                        to.fill(0.0);
                    }
                    return windows.walk(vectors, Inputs { weight, gradient, to });
                }
                scratch::with(windows.input.numbers(), |wide| {
                    wide.fill(0.0);
                    windows.walk(vectors, Inputs { weight, gradient, to: &mut *wide });
                    put.all(to, wide.chunks_exact(self.multiplier).map(|copies| copies.iter().sum()));
                });
            });
        });
    }
}

/// The outputs of a row.
struct Outputs<'a> {
    weight: &'a [f32],
    bias: &'a [f32],
    from: &'a [f32],
    to: &'a mut [f32],
}

impl Walker for Outputs<'_> {
    /// The sum.
    type Carried<S: Simd> = S::Vector;

    #[inline(always)]
    fn fits(&self, windows: &Windows) -> bool {
        let channels = windows.output.channels;
        self.from.len() == windows.input.numbers()
            && self.to.len() == windows.output.numbers()
            && self.weight.len() == windows.taps() * channels
            && self.bias.len() == channels
    }

    #[inline(always)]
    unsafe fn begin<S: Simd>(&mut self, output: Output, _: Tap) -> S::Vector {
        // SAFETY: the caller's promise.
        unsafe { load::<S>(self.bias.as_ptr().add(output.channel), output.count) }
    }

    #[inline(always)]
    unsafe fn see<S: Simd>(&mut self, output: Output, tap: Tap, sum: S::Vector) -> S::Vector {
        // SAFETY: the caller's promise.
        unsafe {
            let number = load::<S>(self.from.as_ptr().add(tap.seen), output.count);
            S::multiply_add(number, load::<S>(self.weight.as_ptr().add(tap.own), output.count), sum)
        }
    }

    #[inline(always)]
    unsafe fn end<S: Simd>(&mut self, output: Output, sum: S::Vector) {
        // SAFETY: the caller's promise.
        unsafe { store::<S>(self.to.as_mut_ptr().add(output.at), sum, output.count) }
    }
}

/// The gradient by the numbers of a row, added to what stands there.
struct Inputs<'a> {
    weight: &'a [f32],
    gradient: &'a [f32],
    to: &'a mut [f32],
}

impl Walker for Inputs<'_> {
    /// The gradient by the output.
    type Carried<S: Simd> = S::Vector;

    #[inline(always)]
    fn fits(&self, windows: &Windows) -> bool {
        self.to.len() == windows.input.numbers()
            && self.gradient.len() == windows.output.numbers()
            && self.weight.len() == windows.taps() * windows.output.channels
    }

    #[inline(always)]
    unsafe fn begin<S: Simd>(&mut self, output: Output, _: Tap) -> S::Vector {
        // SAFETY: the caller's promise.
        unsafe { load::<S>(self.gradient.as_ptr().add(output.at), output.count) }
    }

    #[inline(always)]
    unsafe fn see<S: Simd>(&mut self, output: Output, tap: Tap, gradient: S::Vector) -> S::Vector {
        // SAFETY: the caller's promise.
        unsafe {
            let weight = load::<S>(self.weight.as_ptr().add(tap.own), output.count);
            let to = self.to.as_mut_ptr().add(tap.seen);
            store::<S>(to, S::multiply_add(gradient, weight, load::<S>(to, output.count)), output.count);
        }
        gradient
    }

    #[inline(always)]
    unsafe fn end<S: Simd>(&mut self, _: Output, _: S::Vector) {}
}

/// The gradient by the weight `[taps, channels]` and by the bias, of one row, added to what stands there.
struct TapSums<'a> {
    from: &'a [f32],
    gradient: &'a [f32],
    sums: &'a mut [f32],
    bias: &'a mut [f32],
}

impl Walker for TapSums<'_> {
    /// The gradient by the output.
    type Carried<S: Simd> = S::Vector;

    #[inline(always)]
    fn fits(&self, windows: &Windows) -> bool {
        let channels = windows.output.channels;
        self.from.len() == windows.input.numbers()
            && self.gradient.len() == windows.output.numbers()
            && self.sums.len() == windows.taps() * channels
            && self.bias.len() == channels
    }

    #[inline(always)]
    unsafe fn begin<S: Simd>(&mut self, output: Output, _: Tap) -> S::Vector {
        // SAFETY: the caller's promise.
        unsafe {
            let gradient = load::<S>(self.gradient.as_ptr().add(output.at), output.count);
            let bias = self.bias.as_mut_ptr().add(output.channel);
            store::<S>(bias, S::add(load::<S>(bias, output.count), gradient), output.count);
            gradient
        }
    }

    #[inline(always)]
    unsafe fn see<S: Simd>(&mut self, output: Output, tap: Tap, gradient: S::Vector) -> S::Vector {
        // SAFETY: the caller's promise.
        unsafe {
            let number = load::<S>(self.from.as_ptr().add(tap.seen), output.count);
            let to = self.sums.as_mut_ptr().add(tap.own);
            store::<S>(to, S::multiply_add(number, gradient, load::<S>(to, output.count)), output.count);
        }
        gradient
    }

    #[inline(always)]
    unsafe fn end<S: Simd>(&mut self, _: Output, _: S::Vector) {}
}
