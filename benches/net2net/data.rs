//! The images of a comparison: MNIST's four files from a folder, or the UCI digits that come with a dependency.
//!
//! Rows are in the order of their source, pixels from 0 to 1; which rows a step takes is the course's choice.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, ensure};
use flate2::read::GzDecoder;
use perennial::compute::random::{Purpose, Random};
use perennial::network::Shape;
use smartcore::dataset::digits::load_dataset;

/// Grey images of one size with a class from 0 to 9.
pub struct Images {
    /// Height = width.
    pub side: usize,
    /// To train on.
    pub train: Rows,
    /// Never trained on.
    pub test: Rows,
}

/// Images, row-major, one behind the other, and their classes.
#[derive(Clone)]
pub struct Rows {
    pub pixels: Vec<f32>,
    pub classes: Vec<u32>,
}

/// How many of the UCI digits are never trained on.
const TEST_DIGITS: usize = 597;
/// The seed of the order that decides which.
const DIGITS_SEED: u64 = 1;
/// The side of MNIST's images, and the factor by which both sides are made smaller.
const MNIST_SIDE: usize = 28;
const SMALLER: usize = 2;

impl Images {
    /// One channel, height and width.
    pub fn shape(&self) -> Shape {
        Shape::image(1, self.side, self.side)
    }

    /// The files of MNIST or Fashion-MNIST under their usual names, each 2x2 pixels averaged to one: a convolution costs
    /// a quarter then, and narrow networks still have something to learn.
    pub fn mnist(folder: &Path) -> anyhow::Result<Self> {
        let rows = |part: &str| -> anyhow::Result<Rows> {
            let images = idx(&folder.join(format!("{part}-images-idx3-ubyte.gz")), MNIST_SIDE * MNIST_SIDE)?;
            let labels = idx(&folder.join(format!("{part}-labels-idx1-ubyte.gz")), 1)?;
            ensure!(images.len() == labels.len() * MNIST_SIDE * MNIST_SIDE, "{part}: not one label an image");
            let pixels = images.chunks_exact(MNIST_SIDE * MNIST_SIDE).flat_map(smaller).collect();
            Ok(Rows { pixels, classes: labels.into_iter().map(u32::from).collect() })
        };
        Ok(Self { side: MNIST_SIDE / SMALLER, train: rows("train")?, test: rows("t10k")? })
    }

    /// The 1,797 digits of 8x8 pixels that `smartcore` ships; a third is the test set.
    pub fn digits() -> anyhow::Result<Self> {
        let dataset = load_dataset();
        ensure!(
            dataset.num_features == 64 && dataset.num_samples > TEST_DIGITS,
            "the digits are not as they should be"
        );
        let classes = dataset.target.iter().map(|&class| class as u32);
        let mut rows: Vec<(&[f32], u32)> = dataset.data.chunks_exact(64).zip(classes).collect();
        Random::keyed(DIGITS_SEED, Purpose::Demonstration, 0, "digits").shuffle(&mut rows);
        let gather = |rows: &[(&[f32], u32)]| Rows {
            pixels: rows.iter().flat_map(|(pixels, _)| pixels.iter().map(|pixel| pixel / 16.0)).collect(),
            classes: rows.iter().map(|(_, class)| *class).collect(),
        };
        let (test, train) = rows.split_at(TEST_DIGITS);
        Ok(Self { side: 8, train: gather(train), test: gather(test) })
    }

    /// The same with at most `count` test rows, evenly spread over all of them.
    pub fn tested_on(&self, count: usize) -> Self {
        let every = self.test.classes.len().div_ceil(count.max(1)).max(1);
        let pixels = self.test.pixels.chunks_exact(self.side * self.side).step_by(every).flatten().copied().collect();
        let classes = self.test.classes.iter().step_by(every).copied().collect();
        Self { side: self.side, train: self.train.clone(), test: Rows { pixels, classes } }
    }
}

impl Rows {
    /// The pixels of one row of so many.
    pub fn row(&self, index: usize, pixels: usize) -> &[f32] {
        &self.pixels[index * pixels..(index + 1) * pixels]
    }
}

/// The elements of a gzipped IDX file of bytes: two zero bytes, the type, the number of axes, four bytes for each.
fn idx(file: &Path, row: usize) -> anyhow::Result<Vec<u8>> {
    let open = || format!("reading {}", file.display());
    let mut bytes = Vec::new();
    GzDecoder::new(File::open(file).with_context(open)?).read_to_end(&mut bytes).with_context(open)?;
    let header = 4 + 4 * usize::from(*bytes.get(3).with_context(open)?);
    let elements = bytes.len().checked_sub(header).filter(|count| count.is_multiple_of(row)).with_context(open)?;
    ensure!(bytes[..3] == [0, 0, 8] && elements > 0, "{} is no IDX file of bytes", file.display());
    Ok(bytes.split_off(header))
}

/// An image with each square of pixels averaged.
fn smaller(image: &[u8]) -> Vec<f32> {
    let side = MNIST_SIDE / SMALLER;
    let mut pixels = vec![0.0; side * side];
    for (index, &byte) in image.iter().enumerate() {
        let (line, column) = (index / MNIST_SIDE / SMALLER, index % MNIST_SIDE / SMALLER);
        pixels[line * side + column] += f32::from(byte) / (255 * SMALLER * SMALLER) as f32;
    }
    pixels
}
