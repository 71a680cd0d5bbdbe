//! The stored form of a row: a compact binary record with a format byte in front. One format is written, all are read.
//!
//! Format 1: the number of values, then each value as a tag byte and its content. Numbers of things are LEB128,
//! floats and the microseconds of a time are little-endian. A kind of value that came later has a tag of its own, so
//! every row that was ever written is read. Used by stores.

use super::example::{Pixels, Row, Value};
use super::timestamp::Timestamp;

const FORMAT: u8 = 1;

const MISSING: u8 = 0;
const NUMBER: u8 = 1;
const CATEGORY: u8 = 2;
const VECTOR: u8 = 3;
const BYTES: u8 = 4;
const FLOATS: u8 = 5;
const TEXT: u8 = 6;
const TIME: u8 = 7;

/// The bytes of a row.
pub fn encode(row: &Row) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(8 + row.iter().map(encoded_len).sum::<usize>());
    bytes.push(FORMAT);
    write_count(row.len(), &mut bytes);
    for value in row {
        match value {
            Value::Missing => bytes.push(MISSING),
            Value::Number(number) => {
                bytes.push(NUMBER);
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            Value::Category(text) => write_text(CATEGORY, text, &mut bytes),
            Value::Vector(numbers) => write_floats(VECTOR, numbers, &mut bytes),
            Value::Image(Pixels::Bytes(pixels)) => {
                bytes.push(BYTES);
                write_count(pixels.len(), &mut bytes);
                bytes.extend_from_slice(pixels);
            }
            Value::Image(Pixels::Floats(pixels)) => write_floats(FLOATS, pixels, &mut bytes),
            Value::Text(text) => write_text(TEXT, text, &mut bytes),
            Value::Time(time) => {
                bytes.push(TIME);
                bytes.extend_from_slice(&time.micros().to_le_bytes());
            }
        }
    }
    bytes
}

/// Reads a row back; says what is wrong with damaged bytes. Never panics; what it allocates is bounded by a fixed
/// multiple of the bytes' length.
pub fn decode(bytes: &[u8]) -> Result<Row, String> {
    let mut reader = Reader { rest: bytes };
    let format = reader.byte()?;
    if format != FORMAT {
        return Err(format!("the row has format {format}, which this version does not know"));
    }
    let values = reader.count(1)?;
    let row = (0..values).map(|_| reader.value()).collect::<Result<Row, String>>()?;
    if reader.rest.is_empty() { Ok(row) } else { Err("the row goes on after its last value".into()) }
}

/// The content of a value and room for its tag and count.
fn encoded_len(value: &Value) -> usize {
    5 + match value {
        Value::Missing => 0,
        Value::Number(_) | Value::Time(_) => 8,
        Value::Category(text) | Value::Text(text) => text.len(),
        Value::Vector(numbers) | Value::Image(Pixels::Floats(numbers)) => 4 * numbers.len(),
        Value::Image(Pixels::Bytes(pixels)) => pixels.len(),
    }
}

fn write_count(count: usize, bytes: &mut Vec<u8>) {
    let mut rest = count;
    while rest >= 0x80 {
        bytes.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
}

fn write_text(tag: u8, text: &str, bytes: &mut Vec<u8>) {
    bytes.push(tag);
    write_count(text.len(), bytes);
    bytes.extend_from_slice(text.as_bytes());
}

fn write_floats(tag: u8, numbers: &[f32], bytes: &mut Vec<u8>) {
    bytes.push(tag);
    write_count(numbers.len(), bytes);
    for number in numbers {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn value(&mut self) -> Result<Value, String> {
        match self.byte()? {
            MISSING => Ok(Value::Missing),
            NUMBER => {
                let number = f64::from_le_bytes(self.eight()?);
                if number.is_finite() { Ok(Value::Number(number)) } else { Err(not_finite()) }
            }
            CATEGORY => Ok(Value::Category(self.text("the row has a category that is no text")?)),
            VECTOR => Ok(Value::Vector(self.floats()?)),
            BYTES => {
                let length = self.count(1)?;
                Ok(Value::Image(Pixels::Bytes(self.take(length)?.to_vec())))
            }
            FLOATS => Ok(Value::Image(Pixels::Floats(self.floats()?))),
            TEXT => Ok(Value::Text(self.text("the row has a text that is none")?)),
            TIME => {
                let time = Timestamp::from_micros(i64::from_le_bytes(self.eight()?));
                Ok(Value::Time(time.map_err(|_| "the row has a time of no year that there is".to_owned())?))
            }
            tag => Err(format!("the row has a value of kind {tag}, which this version does not know")),
        }
    }

    fn eight(&mut self) -> Result<[u8; 8], String> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or_else(too_short)?;
        self.rest = rest;
        Ok(*bytes)
    }

    fn text(&mut self, fault: &str) -> Result<String, String> {
        let length = self.count(1)?;
        let text = std::str::from_utf8(self.take(length)?);
        text.map(str::to_owned).map_err(|_| fault.to_owned())
    }

    fn floats(&mut self) -> Result<Vec<f32>, String> {
        let count = self.count(4)?;
        let (chunks, _) = self.take(4 * count)?.as_chunks();
        let numbers: Vec<f32> = chunks.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect();
        if numbers.iter().all(|number| number.is_finite()) { Ok(numbers) } else { Err(not_finite()) }
    }

    /// Reads a number of things that take at least `size` bytes each: never more than there can be.
    fn count(&mut self, size: usize) -> Result<usize, String> {
        let mut count: u64 = 0;
        for shift in (0..63).step_by(7) {
            let byte = self.byte()?;
            count |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                let count = usize::try_from(count).map_err(|_| too_short())?;
                return if count <= self.rest.len() / size { Ok(count) } else { Err(too_short()) };
            }
        }
        Err(too_short())
    }

    fn byte(&mut self) -> Result<u8, String> {
        let (&byte, rest) = self.rest.split_first().ok_or_else(too_short)?;
        self.rest = rest;
        Ok(byte)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or_else(too_short)?;
        self.rest = rest;
        Ok(taken)
    }
}

fn too_short() -> String {
    "the row ends too early".into()
}

fn not_finite() -> String {
    "the row has a number that is not finite".into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn finite() -> impl Strategy<Value = f32> {
        any::<f32>().prop_filter("finite", |number| number.is_finite())
    }

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Missing),
            any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(Value::Number),
            ".{0,300}".prop_map(Value::Category),
            prop::collection::vec(finite(), 0..200).prop_map(Value::Vector),
            prop::collection::vec(any::<u8>(), 0..200).prop_map(|pixels| Value::Image(Pixels::Bytes(pixels))),
            prop::collection::vec(finite(), 0..200).prop_map(|pixels| Value::Image(Pixels::Floats(pixels))),
            ".{0,300}".prop_map(Value::Text),
            (-62_135_596_800i64..=253_402_300_799)
                .prop_map(|seconds| Value::Time(Timestamp::from_micros(seconds * 1_000_000 + 7).unwrap())),
        ]
    }

    fn row() -> impl Strategy<Value = Row> {
        prop::collection::vec(value(), 0..12)
    }

    proptest! {
        #[test]
        fn a_row_reads_back_as_it_was(row in row()) {
            let bytes = encode(&row);
            let read = decode(&bytes);
            prop_assert_eq!(read.as_ref(), Ok(&row));
            prop_assert_eq!(read.map(|row| encode(&row)), Ok(bytes));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
            let _ = decode(&[&[FORMAT][..], &bytes].concat());
        }

        #[test]
        fn a_damaged_row_is_refused_or_another_row(row in row(), at in any::<prop::sample::Index>(), mask in 1u8..) {
            let bytes = encode(&row);
            let mut damaged = bytes.clone();
            damaged[at.index(bytes.len())] ^= mask;
            prop_assert_ne!(decode(&damaged).map(|row| encode(&row)), Ok(bytes));
        }

        #[test]
        fn a_shortened_or_lengthened_row_is_refused(row in row(), at in any::<prop::sample::Index>()) {
            let mut bytes = encode(&row);
            prop_assert!(decode(&bytes[..at.index(bytes.len())]).is_err());
            bytes.push(0);
            prop_assert!(decode(&bytes).is_err());
        }
    }

    #[test]
    fn an_image_of_bytes_takes_a_byte_a_pixel() {
        assert_eq!(encode(&vec![Value::Image(Pixels::Bytes(vec![7; 784]))]).len(), 784 + 5);
    }

    #[test]
    fn the_stored_form_does_not_change() {
        let row = vec![Value::Number(1.5), Value::Missing, Value::Category("é".into()), Value::Vector(vec![-2.0])];
        let bytes = [1, 4, 1, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f, 0, 2, 2, 0xc3, 0xa9, 3, 1, 0, 0, 0, 0xc0];
        assert_eq!(encode(&row), bytes);
        assert_eq!(decode(&bytes), Ok(row));
        let row = vec![Value::Text("é".into()), Value::Time(Timestamp::from_micros(-2).unwrap())];
        let bytes = [1, 2, 6, 2, 0xc3, 0xa9, 7, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(encode(&row), bytes);
        assert_eq!(decode(&bytes), Ok(row));
    }

    #[test]
    fn numbers_that_are_not_finite_and_absurd_counts_are_damage() {
        let infinite = [&[FORMAT, 1, NUMBER][..], &f64::INFINITY.to_le_bytes()].concat();
        assert_eq!(decode(&infinite), Err(not_finite()));
        let absurd = [FORMAT, 1, VECTOR, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
        assert_eq!(decode(&absurd), Err(too_short()));
        let never = [&[FORMAT, 1, TIME][..], &i64::MAX.to_le_bytes()].concat();
        assert_eq!(decode(&never), Err("the row has a time of no year that there is".into()));
        assert_eq!(decode(&[2, 0]), Err("the row has format 2, which this version does not know".into()));
    }
}
