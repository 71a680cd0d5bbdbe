//! What the encoder knows of one feature: its statistics or its categories. Used by the encoder alone.

use std::collections::HashMap;

use crate::stream::example::{Pixels, Value};
use crate::stream::moments::{Moments, Spread, spread, welford};
use crate::stream::schema::{FeatureKind, TextFeature, TimestampFeature};

use super::{calendar, text};

/// Standardised numbers are clipped here: one broken sensor must not throw a network.
const CLIP: f64 = 10.0;

/// The state of one feature.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum FeatureState {
    /// Statistics of the values that were not missing.
    Numeric(Moments),
    /// The column of every category that has one.
    Categorical(HashMap<String, usize>),
    /// Statistics of every number.
    Vector(VectorMoments),
    /// Pixels need no statistics: how many there are, and the largest value.
    Image { pixels: usize, max: f64 },
    /// Texts need none either.
    Text(TextFeature),
    /// Statistics of the seconds of the times that were not missing.
    Timestamp(TimestampFeature, Moments),
}

/// The moments of the numbers of a vector, which are always seen together.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct VectorMoments {
    pub count: u64,
    pub mean: Vec<f64>,
    pub m2: Vec<f64>,
}

impl FeatureState {
    /// The state of a feature that has seen nothing.
    pub fn new(kind: &FeatureKind) -> Self {
        match *kind {
            FeatureKind::Numeric => Self::Numeric(Moments::default()),
            FeatureKind::Categorical { .. } => Self::Categorical(HashMap::new()),
            FeatureKind::Vector { size } => {
                Self::Vector(VectorMoments { count: 0, mean: vec![0.0; size], m2: vec![0.0; size] })
            }
            FeatureKind::Image { max, .. } => Self::Image { pixels: kind.columns(), max },
            FeatureKind::Text(ref feature) => Self::Text(feature.clone()),
            FeatureKind::Timestamp(ref feature) => Self::Timestamp(feature.clone(), Moments::default()),
        }
    }

    /// Takes a value into the statistics; nothing for one that is missing or does not fit.
    pub fn observe(&mut self, value: &Value) {
        match (self, value) {
            (Self::Numeric(moments), Value::Number(number)) => moments.observe(*number),
            (Self::Timestamp(_, moments), Value::Time(time)) => moments.observe(time.seconds()),
            (Self::Vector(moments), Value::Vector(numbers)) if numbers.len() == moments.mean.len() => {
                moments.observe(numbers);
            }
            _ => {}
        }
    }

    /// Gives a category this column; `false` if it has one already or the feature has no categories.
    pub fn adopt(&mut self, category: &str, column: usize) -> bool {
        let Self::Categorical(columns) = self else { return false };
        if columns.contains_key(category) {
            return false;
        }
        columns.insert(category.to_owned(), column);
        true
    }

    /// How many categories have a column.
    pub fn categories(&self) -> usize {
        match self {
            Self::Categorical(columns) => columns.len(),
            _ => 0,
        }
    }

    /// The column of a category.
    pub fn column(&self, category: &str) -> Option<usize> {
        match self {
            Self::Categorical(columns) => columns.get(category).copied(),
            _ => None,
        }
    }

    /// How far every number of a vector lies around its mean, for [`FeatureState::encode`]; of other features nothing.
    pub fn spreads(&self) -> Vec<Spread> {
        match self {
            Self::Vector(moments) => moments.spreads().collect(),
            _ => Vec::new(),
        }
    }

    /// Writes the value into the feature's first columns, which `into` begins with and which are 0 so far; the adopted column
    /// that is 1, if one is. `spreads` are the feature's own, if they are worked out already.
    pub fn encode(&self, value: &Value, spreads: Option<&[Spread]>, into: &mut [f32]) -> Option<usize> {
        match self {
            Self::Numeric(moments) => match *value {
                Value::Number(number) => into[0] = standardised(number, moments.mean, moments.spread()),
                _ => into[1] = 1.0,
            },
            Self::Categorical(columns) => {
                let column = match value {
                    Value::Category(category) => columns.get(category).copied(),
                    _ => None,
                };
                if column.is_none() {
                    into[0] = 1.0;
                }
                return column;
            }
            Self::Vector(moments) => match value {
                Value::Vector(numbers) if numbers.len() == moments.mean.len() => match spreads {
                    Some(spreads) => moments.encode(numbers, spreads.iter().copied(), into),
                    None => moments.encode(numbers, moments.spreads(), into),
                },
                _ => {}
            },
            Self::Image { pixels, max } => encode_image(value, *pixels, *max, into),
            Self::Text(feature) => {
                if let Value::Text(text) = value {
                    text::encode(feature, text, &mut into[..feature.buckets]);
                }
            }
            Self::Timestamp(feature, moments) => {
                let columns = &mut into[..feature.parts.columns() + 1];
                match value {
                    Value::Time(time) => calendar::encode(feature, moments, *time, columns),
                    _ => calendar::encode_missing(columns),
                }
            }
        }
        None
    }
}

impl VectorMoments {
    fn observe(&mut self, numbers: &[f32]) {
        self.count += 1;
        for ((number, mean), m2) in numbers.iter().zip(&mut self.mean).zip(&mut self.m2) {
            welford(self.count, f64::from(*number), mean, m2);
        }
    }

    fn spreads(&self) -> impl Iterator<Item = Spread> {
        self.mean.iter().zip(&self.m2).map(|(mean, m2)| spread(self.count, *mean, *m2))
    }

    fn encode(&self, numbers: &[f32], spreads: impl Iterator<Item = Spread>, into: &mut [f32]) {
        let statistics = self.mean.iter().zip(spreads);
        for ((column, number), (mean, spread)) in into.iter_mut().zip(numbers).zip(statistics) {
            *column = standardised(f64::from(*number), *mean, spread);
        }
    }
}

pub(super) fn standardised(number: f64, mean: f64, spread: Spread) -> f32 {
    let standard = match spread {
        Spread::Unknown => number,
        Spread::Constant => 0.0,
        Spread::Deviation(deviation) => (number - mean) / deviation,
    };
    standard.clamp(-CLIP, CLIP) as f32
}

fn encode_image(value: &Value, pixels: usize, max: f64, into: &mut [f32]) {
    let scaled = |pixel: f64| (pixel / max).clamp(0.0, 1.0) as f32;
    match value {
        Value::Image(Pixels::Bytes(bytes)) if bytes.len() == pixels => {
            into.iter_mut().zip(bytes).for_each(|(column, &byte)| *column = scaled(f64::from(byte)));
        }
        Value::Image(Pixels::Floats(floats)) if floats.len() == pixels => {
            into.iter_mut().zip(floats).for_each(|(column, &float)| *column = scaled(f64::from(float)));
        }
        _ => {}
    }
}
