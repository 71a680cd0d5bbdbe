//! The rows that are measured: real ones from `../shared/data` where it is there, made-up ones of the same shape otherwise.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use perennial::stream::{Feature, FeatureKind, Label, NewExample, Pixels, Schema, Task, Value};

/// Numeric columns of `adult`, by their places.
const NUMBERS: [usize; 6] = [0, 2, 4, 10, 11, 12];
const COLUMNS: usize = 15;
const PIXELS: usize = 28 * 28;

/// Rows with their schema.
pub struct DataSet {
    pub name: &'static str,
    pub schema: Schema,
    pub task: Task,
    pub examples: Vec<NewExample>,
}

impl DataSet {
    /// Fashion-MNIST: an image of 28 x 28 bytes.
    pub fn images(rows: usize) -> Self {
        let read = |name: &str| unzipped(&folder("fashion-mnist").join(name));
        let real = read("train-images-idx3-ubyte.gz").zip(read("train-labels-idx1-ubyte.gz"));
        let name = if real.is_some() { "fashion-mnist" } else { "made-up images (no data folder)" };
        let (images, labels) = real.unwrap_or_else(|| {
            let noise = (0..16 + PIXELS * rows).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8 & 0x7f);
            (noise.collect(), (0..8 + rows).map(|at| (at % 10) as u8).collect())
        });
        let pixels = images[16..].chunks_exact(PIXELS).cycle();
        let examples = pixels.zip(labels[8..].iter().cycle()).take(rows).map(|(pixels, label)| NewExample {
            id: None,
            row: vec![Value::Image(Pixels::Bytes(pixels.to_vec()))],
            label: Label::Class(label.to_string()),
        });
        let kind = FeatureKind::Image { height: 28, width: 28, channels: 1, max: 255.0 };
        let classes = (0..10).map(|class| class.to_string()).collect();
        Self {
            name,
            schema: Schema { features: vec![Feature::new("pixels", kind)] },
            task: Task::Classification { classes, open_classes: false },
            examples: examples.collect(),
        }
    }

    /// Adult: six numbers and eight categories.
    pub fn mixed(rows: usize) -> Self {
        let text = unzipped(&folder("adult").join("adult.data.gz")).and_then(|bytes| String::from_utf8(bytes).ok());
        let name = if text.is_some() { "adult" } else { "made-up mixed rows (no data folder)" };
        let text = text.unwrap_or_else(|| {
            let cell = |row: usize, column: usize| match NUMBERS.contains(&column) {
                true => (row * 37 % 1_000).to_string(),
                false => format!("category-{}", row * (column + 3) % 9),
            };
            let line = |row| (0..COLUMNS).map(|column| cell(row, column)).collect::<Vec<_>>().join(", ");
            (0..1_000).map(line).collect::<Vec<_>>().join("\n")
        });
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split(',').map(str::trim).collect::<Vec<_>>())
            .filter(|cells| cells.len() == COLUMNS)
            .collect();
        let value = |column: usize, cell: &str| match (cell, NUMBERS.contains(&column)) {
            ("?", _) => Value::Missing,
            (number, true) => number.parse().map_or(Value::Missing, Value::Number),
            (text, false) => Value::Category(text.to_owned()),
        };
        let example = |cells: &Vec<&str>| NewExample {
            id: None,
            row: (0..COLUMNS - 1).map(|column| value(column, cells[column])).collect(),
            label: Label::Class(cells[COLUMNS - 1].to_owned()),
        };
        let feature = |column: usize| match NUMBERS.contains(&column) {
            true => Feature::new(format!("n{column}"), FeatureKind::Numeric),
            false => Feature::new(format!("c{column}"), FeatureKind::Categorical { max_categories: 64 }),
        };
        Self {
            name,
            schema: Schema { features: (0..COLUMNS - 1).map(feature).collect() },
            task: Task::Classification { classes: Vec::new(), open_classes: true },
            examples: lines.iter().cycle().take(rows).map(example).collect(),
        }
    }
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data").join(name)
}

fn unzipped(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    MultiGzDecoder::new(File::open(path).ok()?).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}
