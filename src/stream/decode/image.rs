//! The pixels of one image: nested `[height][width]` or `[height][width][channels]`, or flat in the same order.
//!
//! Kept channels first, as bytes if every pixel is a whole number up to 255. Used by the row decoder.

use serde::de::SeqAccess;

use super::place::At;
use super::read::{Kind, Number, Read};
use crate::stream::example::{Pixels, Value};

const NO_PIXEL: &str = "a pixel is a number";

/// What the schema says of an image.
#[derive(Debug, Clone, Copy)]
pub(super) struct Image {
    pub height: usize,
    pub width: usize,
    pub channels: usize,
    pub max: f64,
}

impl<'de> Kind<'de> for Image {
    type Output = Value;

    fn unfit(self, at: At<'_>) -> Value {
        at.fault("an image is expected: a list of pixels, or of rows of pixels");
        Value::Missing
    }

    fn list<A: SeqAccess<'de>>(self, at: At<'_>, list: A) -> Result<Value, A::Error> {
        let mut canvas = Canvas { image: self, numbers: Vec::new(), layout: None, is_misshapen: false };
        Level { canvas: &mut canvas, depth: 0 }.list(at, list)?;
        if canvas.is_misshapen {
            self.misshapen(at);
        }
        Ok(Value::Image(pixels(canvas.numbers, self.channels)))
    }
}

/// What was read of an image, channels last.
struct Canvas {
    image: Image,
    numbers: Vec<f32>,
    /// How many lists the first pixel stood in: 1 if flat, 2 or 3 if nested.
    layout: Option<usize>,
    is_misshapen: bool,
}

impl Canvas {
    fn pixel(&mut self, at: At<'_>, number: f64, depth: usize) {
        let number = self.image.checked(at, number);
        if *self.layout.get_or_insert(depth) != depth || self.numbers.len() == self.image.elements() {
            self.is_misshapen = true;
        } else {
            self.numbers.push(number as f32);
        }
    }

    /// A list that stands in `depth - 1` others has ended.
    fn list_ended(&mut self, depth: usize, length: usize) {
        let Image { height, width, channels, .. } = self.image;
        let expected = match (self.layout, depth) {
            (Some(1), 1) => Some(self.image.elements()),
            (Some(2 | 3), 1) => Some(height),
            (Some(2), 2) => (channels == 1).then_some(width),
            (Some(3), 2) => Some(width),
            (Some(3), 3) => Some(channels),
            _ => None,
        };
        self.is_misshapen |= expected != Some(length);
    }
}

impl Image {
    /// An image of flat numbers, channels last; `None` where no number stands.
    pub fn of_numbers(self, at: At<'_>, numbers: impl ExactSizeIterator<Item = Option<Number>>) -> Value {
        if numbers.len() != self.elements() {
            self.misshapen(at);
            return Value::Missing;
        }
        let pixel = |(index, number): (usize, Option<Number>)| match number {
            None => {
                at.index(index).fault(NO_PIXEL);
                0.0
            }
            Some(number) => self.checked(at.index(index), number.as_f64()) as f32,
        };
        Value::Image(pixels(numbers.enumerate().map(pixel).collect(), self.channels))
    }

    /// An image of a byte a pixel, channels last.
    pub fn of_bytes(self, at: At<'_>, bytes: &[u8]) -> Value {
        if bytes.len() != self.elements() {
            self.misshapen(at);
            return Value::Missing;
        }
        if self.max < 255.0 {
            for (index, &byte) in bytes.iter().enumerate() {
                self.checked(at.index(index), f64::from(byte));
            }
        }
        Value::Image(Pixels::Bytes(channels_first(bytes.to_vec(), self.channels)))
    }

    /// How many numbers it has.
    pub fn elements(self) -> usize {
        self.height * self.width * self.channels
    }

    fn checked(self, at: At<'_>, number: f64) -> f64 {
        if !(0.0..=self.max).contains(&number) {
            at.fault("a pixel is a number from 0 to the feature's `max`");
        }
        number
    }

    fn misshapen(self, at: At<'_>) {
        let Self { height, width, channels, .. } = self;
        at.fault(&format!(
            "an image of {height} x {width} pixels with {channels} channels is expected, nested as \
             [height][width][channels] ([height][width] for one channel), or flat in the same order"
        ));
    }
}

/// Bytes if every pixel is a whole number up to 255.
fn pixels(numbers: Vec<f32>, channels: usize) -> Pixels {
    let planes = channels_first(numbers, channels);
    if planes.iter().all(|pixel| pixel.fract() == 0.0 && (0.0..=255.0).contains(pixel)) {
        Pixels::Bytes(planes.into_iter().map(|pixel| pixel as u8).collect())
    } else {
        Pixels::Floats(planes)
    }
}

fn channels_first<T: Copy>(pixels: Vec<T>, channels: usize) -> Vec<T> {
    if channels == 1 {
        return pixels;
    }
    (0..channels).flat_map(|channel| pixels.iter().skip(channel).step_by(channels)).copied().collect()
}

/// A value inside an image that stands in `depth` lists.
struct Level<'c> {
    canvas: &'c mut Canvas,
    depth: usize,
}

impl<'de> Kind<'de> for Level<'_> {
    type Output = ();

    fn unfit(self, at: At<'_>) {
        at.fault(NO_PIXEL);
    }

    fn number(self, at: At<'_>, number: Number) {
        self.canvas.pixel(at, number.as_f64(), self.depth);
    }

    fn list<A: SeqAccess<'de>>(self, at: At<'_>, mut list: A) -> Result<(), A::Error> {
        let Self { canvas, depth } = self;
        let depth = depth + 1;
        let mut length = 0;
        while list
            .next_element_seed(Read { at: at.index(length), kind: Level { canvas: &mut *canvas, depth } })?
            .is_some()
        {
            length += 1;
        }
        canvas.list_ended(depth, length);
        Ok(())
    }
}
