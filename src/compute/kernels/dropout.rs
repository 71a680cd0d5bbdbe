//! Dropout: numbers set to 0 in training, the others divided by the probability of being kept.
//!
//! A number's fate hangs on (seed, step, node) and its index in the batch's tensor, channels first: any of them can be
//! drawn at once, and the backward pass draws them again.

use super::crew::Shared;
use super::kernel::{BackwardPass, Draw, ForwardPass, Kernel, Needs, Place};
use super::put::{PIECE, Put};
use crate::compute::random::{Indexed, Purpose};
use crate::compute::vectors::{Loop, widest};

/// Which numbers of a batch are kept.
#[derive(Debug, Clone, Copy)]
pub struct Mask {
    draws: Indexed,
    probability: f32,
}

impl Mask {
    /// Drops with this probability.
    pub fn drawn(probability: f64, draw: Draw<'_>) -> Self {
        let draws = Indexed::keyed(draw.seed, Purpose::Dropout, draw.step, draw.node);
        Self { draws, probability: probability as f32 }
    }

    /// Whether the number with this index, row-major and channels first, is kept.
    #[inline(always)]
    pub fn keeps(&self, index: u32) -> bool {
        self.draws.uniform(index) >= self.probability
    }
}

/// Dropout over rows of a place.
#[derive(Debug, Clone)]
pub struct Dropout {
    /// A row.
    pub place: Place,
    /// How likely a number is dropped: at least 0, below 1.
    pub probability: f64,
}

impl Dropout {
    fn kept(&self) -> f32 {
        (1.0 / (1.0 - self.probability)) as f32
    }

    /// Sites of a piece.
    fn sites(&self) -> usize {
        (PIECE / self.place.channels).max(1)
    }
}

impl Kernel for Dropout {
    fn needs(&self) -> Needs {
        Needs { inputs: false, output: false }
    }

    fn changes_nothing(&self, training: bool) -> bool {
        !training || self.probability == 0.0
    }

    /// The key of the draws, in two halves: each a whole number that f32 holds.
    fn saved_per_batch(&self) -> usize {
        2
    }

    fn forward(&self, pass: ForwardPass<'_>) {
        let Some(draw) = pass.training else { return pass.output.copy_from_slice(pass.inputs[0]) };
        let mask = Mask::drawn(self.probability, draw);
        let key = mask.draws.key();
        pass.saved.copy_from_slice(&[(key >> 16) as f32, (key & 0xffff) as f32]);
        let (place, factor, from, channels) = (self.place, self.kept(), pass.inputs[0], self.place.channels);
        let output = Shared::new(pass.output);
        pass.crew.pieces(from.len() / channels, self.sites(), 14 * from.len(), |sites| {
            let range = sites.start * channels..sites.end * channels;
            // SAFETY: pieces do not overlap.
            let to = unsafe { output.part(range.clone()) };
            widest(Masked { mask, place, factor, first: sites.start, from: &from[range], put: Put::Over, to });
        });
    }

    fn backward(&self, pass: BackwardPass<'_>) {
        let draws = Indexed::of_key((pass.saved[0] as u32) << 16 | pass.saved[1] as u32);
        let mask = Mask { draws, probability: self.probability as f32 };
        let (place, factor, from, channels) = (self.place, self.kept(), &*pass.gradient, self.place.channels);
        let Some((to, put)) = pass.input_gradients[0].place() else { return };
        pass.crew.pieces(from.len() / channels, self.sites(), 14 * from.len(), |sites| {
            let range = sites.start * channels..sites.end * channels;
            // SAFETY: pieces do not overlap.
            let to = unsafe { to.part(range.clone()) };
            widest(Masked { mask, place, factor, first: sites.start, from: &from[range], put, to });
        });
    }
}

/// What is kept of some sites, times a factor.
struct Masked<'a> {
    mask: Mask,
    place: Place,
    factor: f32,
    /// The number of the first site in the batch.
    first: usize,
    from: &'a [f32],
    put: Put,
    to: &'a mut [f32],
}

impl Loop for Masked<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let (channels, positions) = (self.place.channels, self.place.positions());
        let (mask, factor) = (self.mask, self.factor);
        let sites = self.to.chunks_exact_mut(channels).zip(self.from.chunks_exact(channels));
        for (site, (to, from)) in sites.enumerate() {
            let (row, position) = ((self.first + site) / positions, (self.first + site) % positions);
            let start = (row * self.place.numbers() + position) as u32;
            let masked = from.iter().zip(0..channels as u32).map(|(number, channel)| {
                let index = start.wrapping_add(channel.wrapping_mul(positions as u32));
                number * if mask.keeps(index) { factor } else { 0.0 }
            });
            self.put.all(to, masked);
        }
    }
}
