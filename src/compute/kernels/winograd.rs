//! Winograd's minimal filtering F(2x2, 3x3) (Lavin and Gray 2016, §4.1): a 3x3 convolution of stride 1 with 2.25 times fewer
//! multiplications.
//!
//! Four outputs are made of a tile of 4x4 inputs: the tile is transformed, multiplied place by place with the transformed
//! filter, which sums over channels and so is sixteen products of matrices, and transformed back. For predictions, whose
//! filters are transformed once; rounding differs from that of the direct convolution in the last bits, and is the same for
//! a row whatever it is answered with. Used by [`super::convolution`].

// Loops over registers are written by index, as the registers lie: the compiler unrolls them.
#![expect(clippy::needless_range_loop)]

use std::ops::Range;

use super::crew::{Crew, Shared};
use super::kernel::Place;
use super::panel::{Matrix, packed};
use super::scratch;
use super::strip::{Padded, Sliding};
use super::tile::{Finish, Panel, VECTORS, load, product, store};
use crate::compute::vectors::{Simd, SimdLoop};

/// Places of a transformed tile.
const PLACES: usize = 16;

/// Fewer channels on a side leave most of a vector idle in the transforms, which then cost more than they save.
const FEWEST_CHANNELS: usize = 16;

/// Numbers of transformed tiles and of their products that are worked on together: they stay in a core's second cache.
const ROOM: usize = 1 << 16;

/// Tiles that are worked on together are a multiple of this: as many rows as the widest register tile takes.
const TOGETHER: usize = 16;

/// A convolution in tiles.
#[derive(Debug, Clone)]
pub(super) struct Winograd {
    output: Place,
    /// The plane with zeros around it, and as many more as whole tiles need.
    padded: Padded,
    /// Tiles in a column and in a row of them.
    tiles: [usize; 2],
}

impl Winograd {
    /// The tiles of a convolution from `input` to `output`, if it is one of 3x3 taps side by side, of stride 1, and of
    /// enough channels.
    pub fn of(sliding: &Sliding, input: Place, output: Place, groups: usize) -> Option<Self> {
        let dense = sliding.kernel == [3, 3] && sliding.stride == [1, 1] && sliding.dilation == [1, 1];
        if !dense || groups > 1 || input.channels.min(output.channels) < FEWEST_CHANNELS {
            return None;
        }
        let tiles = [output.height.div_ceil(2), output.width.div_ceil(2)];
        let size = tiles.map(|tiles| 2 * tiles + 2);
        Some(Self { output, padded: Padded { inner: input, before: sliding.padding, size }, tiles })
    }

    /// Numbers of the transformed filters.
    pub fn prepared(&self, lanes: usize) -> usize {
        PLACES * self.packed(lanes)
    }

    fn packed(&self, lanes: usize) -> usize {
        packed(self.padded.inner.channels, self.output.channels, lanes)
    }

    /// Transforms the filters `[out, in, 3, 3]`: for every place of a tile a packed matrix from inputs to outputs.
    pub fn prepare(&self, filters: &[f32], lanes: usize, to: &mut [f32]) {
        let (inputs, outputs) = (self.padded.inner.channels, self.output.channels);
        let mut places = vec![0.0; PLACES * inputs * outputs];
        for (index, filter) in filters.chunks_exact(9).enumerate() {
            let (output, input) = (index / inputs, index % inputs);
            for (place, number) in transformed(filter).into_iter().enumerate() {
                places[(place * inputs + input) * outputs + output] = number;
            }
        }
        for (place, to) in places.chunks_exact(inputs * outputs).zip(to.chunks_exact_mut(self.packed(lanes))) {
            let matrix = Matrix { weights: place, runs: &[0], depth_step: outputs, depths: inputs, column_step: 1 };
            matrix.pack_all(outputs, lanes, to);
        }
    }

    /// The outputs of `rows` planes.
    pub fn outputs(&self, planes: &[f32], filters: &Filters<'_>, output: &mut [f32], crew: &Crew) {
        let (from, to) = (self.padded.inner.numbers(), self.output.numbers());
        let rows = output.len() / to;
        let output = Shared::new(output);
        // Few planes are cut, each into rows of tiles.
        let cuts = if rows < 2 * crew.threads { (2 * crew.threads).min(self.tiles[0]) } else { 1 };
        let lines = self.tiles[0].div_ceil(cuts);
        let operations = 18 * rows * to * self.padded.inner.channels;
        crew.each(rows * cuts, operations, |task| {
            let (row, cut) = (task / cuts, task % cuts);
            let lines = (cut * lines).min(self.tiles[0])..((cut + 1) * lines).min(self.tiles[0]);
            let plane = &planes[row * from..(row + 1) * from];
            scratch::with(self.padded.numbers(), |padded| {
                self.padded.fill(plane, padded);
                let (inputs, outputs) = (self.padded.inner.channels, self.output.channels);
                let together = (ROOM / (PLACES * (inputs + outputs)) / TOGETHER).max(1) * TOGETHER;
                scratch::with(PLACES * together * (inputs + outputs), |room| {
                    let (transformed, products) = room.split_at_mut(PLACES * together * inputs);
                    crew.vectors.run(Tiles {
                        winograd: self,
                        filters,
                        padded,
                        tiles: lines.start * self.tiles[1]..lines.end * self.tiles[1],
                        together,
                        transformed: transformed.as_mut_ptr(),
                        products: products.as_mut_ptr(),
                        output: output.alias(row * to..(row + 1) * to),
                    });
                });
            });
        });
    }
}

/// Filters as [`Winograd::prepare`] laid them, and what follows a sum.
pub(super) struct Filters<'a> {
    pub packed: &'a [f32],
    pub bias: &'a [f32],
    /// max(x, slope * x); 1 leaves a number as it is.
    pub slope: f32,
}

/// G g Gᵀ of a filter g.
fn transformed(filter: &[f32]) -> [f32; PLACES] {
    let line = |[a, b, c]: [f32; 3]| [a, 0.5 * (a + b + c), 0.5 * (a - b + c), c];
    let columns = [0, 1, 2].map(|column| line([filter[column], filter[3 + column], filter[6 + column]]));
    let mut result = [0.0; PLACES];
    for row in 0..4 {
        result[4 * row..4 * row + 4].copy_from_slice(&line([columns[0][row], columns[1][row], columns[2][row]]));
    }
    result
}

/// Some tiles of one plane.
struct Tiles<'a> {
    winograd: &'a Winograd,
    filters: &'a Filters<'a>,
    padded: &'a [f32],
    tiles: Range<usize>,
    together: usize,
    /// `[place, tile, in]` and `[place, tile, out]` of the tiles that are worked on together.
    transformed: *mut f32,
    products: *mut f32,
    output: *mut [f32],
}

impl SimdLoop for Tiles<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self) {
        let mut first = self.tiles.start;
        while first < self.tiles.end {
            let count = self.together.min(self.tiles.end - first);
            // SAFETY: inside `Vectors::run`; tiles lie within the padded plane, and what is made of them within the room
            // for as many as are worked on together. Nobody else writes the outputs of these tiles.
            unsafe {
                for tile in 0..count {
                    self.transform::<S>(first + tile, tile);
                }
                self.multiply::<S>(count);
                for tile in 0..count {
                    self.transform_back::<S>(first + tile, tile);
                }
            }
            first += count;
        }
    }
}

impl Tiles<'_> {
    /// Bᵀ d B of a tile d, channel by channel.
    #[inline(always)]
    unsafe fn transform<S: Simd>(&self, tile: usize, at: usize) {
        let (winograd, channels) = (self.winograd, self.winograd.padded.inner.channels);
        let line = winograd.padded.size[1] * channels;
        let (row, column) = (2 * (tile / winograd.tiles[1]), 2 * (tile % winograd.tiles[1]));
        // SAFETY: the caller's promise.
        unsafe {
            let from = self.padded.as_ptr().add(row * line + column * channels);
            let to = self.transformed.add(at * channels);
            let mut channel = 0;
            while channel < channels {
                let lanes = (channels - channel).min(S::LANES);
                let mut lines = [[S::splat(0.0); 4]; 4];
                for row in 0..4 {
                    let from = from.add(row * line + channel);
                    let mut numbers = [S::splat(0.0); 4];
                    for column in 0..4 {
                        numbers[column] = load::<S>(from.add(column * channels), lanes);
                    }
                    lines[row] = spread::<S>(numbers);
                }
                for column in 0..4 {
                    let down = [lines[0][column], lines[1][column], lines[2][column], lines[3][column]];
                    let down = spread::<S>(down);
                    for row in 0..4 {
                        let place = (4 * row + column) * self.together * channels;
                        store::<S>(to.add(place + channel), down[row], lanes);
                    }
                }
                channel += lanes;
            }
        }
    }

    /// The sums over channels: at every place the transformed tiles times the transformed filters.
    #[inline(always)]
    unsafe fn multiply<S: Simd>(&self, count: usize) {
        let (inputs, outputs) = (self.winograd.padded.inner.channels, self.winograd.output.channels);
        let size = self.winograd.packed(S::LANES);
        for place in 0..PLACES {
            let mut column = 0;
            while column < outputs {
                let columns = (outputs - column).min(VECTORS * S::LANES);
                let panel = Panel {
                    weights: &self.filters.packed[place * size + column * inputs..(place + 1) * size],
                    columns,
                    taps: &[0],
                    run: inputs,
                    bias: &[],
                    finish: Finish::Store,
                };
                // SAFETY: the caller's promise.
                unsafe {
                    let from = self.transformed.add(place * self.together * inputs).cast_const();
                    let to = self.products.add(place * self.together * outputs + column);
                    product::<S>(panel, count, |tile| from.add(tile * inputs), |tile| to.add(tile * outputs));
                }
                column += columns;
            }
        }
    }

    /// Aᵀ m A of the products m, with bias and rectifier, into the outputs of the tile that are there.
    #[inline(always)]
    unsafe fn transform_back<S: Simd>(&self, tile: usize, at: usize) {
        let (winograd, place) = (self.winograd, self.winograd.output);
        let (row, column) = (2 * (tile / winograd.tiles[1]), 2 * (tile % winograd.tiles[1]));
        let channels = place.channels;
        // SAFETY: the caller's promise.
        unsafe {
            let from = self.products.add(at * channels).cast_const();
            let to = self.output.cast::<f32>().add((row * place.width + column) * channels);
            let mut channel = 0;
            while channel < channels {
                let lanes = (channels - channel).min(S::LANES);
                let mut lines = [[S::splat(0.0); 2]; 4];
                for row in 0..4 {
                    let mut numbers = [S::splat(0.0); 4];
                    for column in 0..4 {
                        let place = (4 * row + column) * self.together * channels;
                        numbers[column] = load::<S>(from.add(place + channel), lanes);
                    }
                    lines[row] = gathered::<S>(numbers);
                }
                let bias = load::<S>(self.filters.bias.as_ptr().add(channel), lanes);
                let slope = S::splat(self.filters.slope);
                for across in 0..2 {
                    let down = [lines[0][across], lines[1][across], lines[2][across], lines[3][across]];
                    let down = gathered::<S>(down);
                    for along in 0..2 {
                        if row + along < place.height && column + across < place.width {
                            let number = S::add(down[along], bias);
                            let number = S::positive_or(number, S::multiply(number, slope));
                            store::<S>(to.add((along * place.width + across) * channels + channel), number, lanes);
                        }
                    }
                }
                channel += lanes;
            }
        }
    }
}

/// Bᵀ times four numbers.
#[inline(always)]
unsafe fn spread<S: Simd>([a, b, c, d]: [S::Vector; 4]) -> [S::Vector; 4] {
    // SAFETY: the caller's promise.
    unsafe { [S::subtract(a, c), S::add(b, c), S::subtract(c, b), S::subtract(b, d)] }
}

/// Aᵀ times four numbers.
#[inline(always)]
unsafe fn gathered<S: Simd>([a, b, c, d]: [S::Vector; 4]) -> [S::Vector; 2] {
    // SAFETY: the caller's promise.
    unsafe { [S::add(S::add(a, b), c), S::subtract(S::subtract(b, c), d)] }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rayon::ThreadPoolBuilder;

    use super::*;
    use crate::compute::random::{Purpose, Random};
    use crate::compute::vectors::Vectors;

    fn numbers(count: usize, seed: u64, name: &str) -> Vec<f32> {
        let mut random = Random::keyed(seed, Purpose::Probe, 0, name);
        (0..count).map(|_| (2.0 * random.uniform() - 1.0) as f32).collect()
    }

    /// Every output by its definition, in f64.
    fn defined(winograd: &Winograd, planes: &[f32], filters: &[f32], bias: &[f32], slope: f32) -> Vec<f64> {
        let (input, output, padding) = (winograd.padded.inner, winograd.output, winograd.padded.before);
        let mut result = Vec::new();
        for plane in planes.chunks_exact(input.numbers()) {
            for (row, column) in (0..output.height).flat_map(|row| (0..output.width).map(move |column| (row, column))) {
                for (channel, bias) in bias.iter().enumerate() {
                    let mut sum = f64::from(*bias);
                    for tap in 0..9 {
                        let at = [row + tap / 3, column + tap % 3];
                        let [Some(y), Some(x)] = [0, 1].map(|axis| at[axis].checked_sub(padding[axis])) else {
                            continue;
                        };
                        if y >= input.height || x >= input.width {
                            continue;
                        }
                        for from in 0..input.channels {
                            let number = plane[(y * input.width + x) * input.channels + from];
                            let weight = filters[(channel * input.channels + from) * 9 + tap];
                            sum += f64::from(number) * f64::from(weight);
                        }
                    }
                    result.push(if sum > 0.0 { sum } else { f64::from(slope) * sum });
                }
            }
        }
        result
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn tiles_give_what_the_definition_gives_on_any_vectors_and_threads(
            (height, width) in (1usize..10, 1usize..10),
            (inputs, outputs) in (16usize..40, 16usize..70),
            padding in prop::array::uniform2(0usize..3),
            rows in 1usize..4,
            slope in prop::sample::select(vec![0.0, 0.25, 1.0]),
            seed: u64,
        ) {
            prop_assume!(height + 2 * padding[0] > 2 && width + 2 * padding[1] > 2);
            let sliding = Sliding { kernel: [3, 3], stride: [1, 1], padding, dilation: [1, 1] };
            let input = Place { height, width, channels: inputs };
            let output = Place { height: height + 2 * padding[0] - 2, width: width + 2 * padding[1] - 2, channels: outputs };
            let winograd = Winograd::of(&sliding, input, output, 1).unwrap();
            let planes = numbers(rows * input.numbers(), seed, "planes");
            let (filters, bias) = (numbers(outputs * inputs * 9, seed, "filters"), numbers(outputs, seed, "bias"));
            let expected = defined(&winograd, &planes, &filters, &bias, slope);
            let scale = expected.iter().fold(1.0f64, |largest, number| largest.max(number.abs()));
            for vectors in Vectors::available() {
                let mut packed = vec![f32::NAN; winograd.prepared(vectors.lanes())];
                winograd.prepare(&filters, vectors.lanes(), &mut packed);
                let filters = Filters { packed: &packed, bias: &bias, slope };
                let run = |threads| {
                    let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                    let mut result = vec![f32::NAN; expected.len()];
                    pool.install(|| winograd.outputs(&planes, &filters, &mut result, &Crew { vectors, threads }));
                    result
                };
                let alone = run(1);
                for (found, expected) in alone.iter().zip(&expected) {
                    prop_assert!((f64::from(*found) - expected).abs() <= 1e-5 * scale, "{} for {}", found, expected);
                }
                prop_assert_eq!(run(3), alone);
            }
        }
    }

    #[test]
    fn only_dense_filters_over_many_channels_are_worth_tiles() {
        let place = |channels| Place { height: 8, width: 8, channels };
        let same = Sliding { kernel: [3, 3], stride: [1, 1], padding: [1, 1], dilation: [1, 1] };
        let taken =
            |sliding: Sliding, inputs, groups| Winograd::of(&sliding, place(inputs), place(32), groups).is_some();
        assert!(taken(same, 16, 1));
        assert!(!taken(same, 15, 1) && !taken(same, 16, 2));
        assert!(!taken(Sliding { stride: [2, 2], ..same }, 16, 1));
        assert!(!taken(Sliding { dilation: [2, 2], padding: [2, 2], ..same }, 16, 1));
        assert!(!taken(Sliding { kernel: [1, 3], padding: [0, 1], ..same }, 16, 1));
    }
}
