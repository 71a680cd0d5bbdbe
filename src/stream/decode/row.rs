//! One row: the object under `inputs`, against the schema. Every feature once (those that may be missing at most once),
//! none that the schema does not have.
//!
//! Used by the decoders of bodies.

use std::collections::HashMap;

use serde::de::{MapAccess, SeqAccess};

use super::image::Image;
use super::place::At;
use super::read::{Key, Kind, Number, Read, Skip};
use crate::stream::example::{Row, Value};
use crate::stream::schema::{Feature, FeatureKind, Schema, category_fault};
use crate::stream::timestamp::{Timestamp, TimestampFault};

/// What is said of a feature that the schema does not have.
pub(super) const UNKNOWN_FEATURE: &str = "the schema has no feature of this name";

const MISSING: &str = "the feature is missing; only numeric, categorical, timestamp and `optional` ones may be";

/// A schema with its features by name.
pub(super) struct Features<'s> {
    schema: &'s Schema,
    by_name: HashMap<&'s str, usize>,
}

impl<'s> Features<'s> {
    /// The features of a schema.
    pub fn of(schema: &'s Schema) -> Self {
        let by_name = schema.features.iter().enumerate().map(|(index, feature)| (feature.name.as_str(), index));
        Self { schema, by_name: by_name.collect() }
    }
}

/// The inputs of an example. What is wrong is a fault; the row is then incomplete.
#[derive(Clone, Copy)]
pub(super) struct Inputs<'f>(pub &'f Features<'f>);

impl<'de> Kind<'de> for Inputs<'_> {
    type Output = Row;

    fn unfit(self, at: At<'_>) -> Row {
        at.fault("an object with the features of the schema is expected");
        Row::new()
    }

    fn object<A: MapAccess<'de>>(self, at: At<'_>, mut object: A) -> Result<Row, A::Error> {
        let Features { schema, by_name } = self.0;
        let mut values: Vec<Option<Value>> = vec![None; schema.features.len()];
        while let Some(key) = object.next_key_seed(Read { at, kind: Key(|name: &str| by_name.get(name).copied()) })? {
            match key {
                Err(name) => {
                    at.key(&name).fault(UNKNOWN_FEATURE);
                    object.next_value_seed(Read { at, kind: Skip })?;
                }
                Ok(index) => {
                    let feature = &schema.features[index];
                    let at = at.key(&feature.name);
                    let value = object.next_value_seed(Read { at, kind: FeatureValue(feature) })?;
                    if values[index].replace(value).is_some() {
                        at.fault("the feature stands there twice");
                    }
                }
            }
        }
        let features = schema.features.iter().zip(values);
        let values = features
            .map(|(feature, value)| value.unwrap_or_else(|| FeatureValue(feature).missing(at.key(&feature.name))));
        Ok(values.collect())
    }
}

/// The value of one feature.
#[derive(Clone, Copy)]
pub(super) struct FeatureValue<'s>(pub &'s Feature);

impl FeatureValue<'_> {
    /// The numbers of a vector, or the pixels of an image in flat order, channels last; `None` where no number stands.
    pub fn numbers(self, at: At<'_>, numbers: impl ExactSizeIterator<Item = Option<Number>>) -> Value {
        if let Some(image) = image(&self.0.kind) {
            return image.of_numbers(at, numbers);
        }
        match self.0.kind {
            FeatureKind::Vector { size } if size == numbers.len() => {
                let element = |(index, number): (usize, Option<Number>)| match number {
                    Some(number) => Element.number(at.index(index), number),
                    None => Element.unfit(at.index(index)),
                };
                Value::Vector(numbers.enumerate().map(element).collect())
            }
            _ => self.unfit(at),
        }
    }

    /// The pixels of an image in flat order, channels last.
    pub fn bytes(self, at: At<'_>, bytes: &[u8]) -> Value {
        match image(&self.0.kind) {
            Some(image) => image.of_bytes(at, bytes),
            None => self.unfit(at),
        }
    }

    /// No value.
    pub fn missing(self, at: At<'_>) -> Value {
        if !self.0.may_be_missing() {
            at.fault(MISSING);
        }
        Value::Missing
    }
}

impl<'de> Kind<'de> for FeatureValue<'_> {
    type Output = Value;

    fn unfit(self, at: At<'_>) -> Value {
        match self.0.kind {
            FeatureKind::Numeric => at.fault("a number or null is expected"),
            FeatureKind::Text(_) => at.fault("a text is expected"),
            FeatureKind::Timestamp(_) => at.fault(&TimestampFault::Form.to_string()),
            FeatureKind::Categorical { .. } => at.fault("a string or null is expected"),
            FeatureKind::Vector { size } => at.fault(&format!("a list of {size} numbers is expected")),
            FeatureKind::Image { .. } => return image(&self.0.kind).map_or(Value::Missing, |image| image.unfit(at)),
        }
        Value::Missing
    }

    fn null(self, at: At<'_>) -> Value {
        if self.0.may_be_missing() { Value::Missing } else { self.unfit(at) }
    }

    fn number(self, at: At<'_>, number: Number) -> Value {
        match self.0.kind {
            FeatureKind::Numeric => number.within_f32(at).map_or(Value::Missing, Value::Number),
            FeatureKind::Timestamp(_) => time(at, Timestamp::from_seconds(number.as_f64())),
            _ => self.unfit(at),
        }
    }

    fn text(self, at: At<'_>, text: &str) -> Value {
        match &self.0.kind {
            FeatureKind::Categorical { .. } => {
                if let Some(detail) = category_fault(text) {
                    at.fault(&detail);
                }
                Value::Category(text.to_owned())
            }
            FeatureKind::Text(feature) => {
                if let Some(detail) = feature.too_long(text) {
                    at.fault(&detail);
                    return Value::Missing;
                }
                Value::Text(text.to_owned())
            }
            FeatureKind::Timestamp(feature) => time(at, Timestamp::parse(text, feature.offset_minutes)),
            _ => self.unfit(at),
        }
    }

    fn list<A: SeqAccess<'de>>(self, at: At<'_>, mut list: A) -> Result<Value, A::Error> {
        if let Some(image) = image(&self.0.kind) {
            return image.list(at, list);
        }
        let FeatureKind::Vector { size } = self.0.kind else {
            while list.next_element_seed(Read { at, kind: Skip })?.is_some() {}
            return Ok(self.unfit(at));
        };
        let mut numbers = Vec::new();
        while let Some(number) = list.next_element_seed(Read { at: at.index(numbers.len()), kind: Element })? {
            numbers.push(number);
        }
        if numbers.len() != size {
            at.fault(&format!("a list of {size} numbers is expected"));
        }
        Ok(Value::Vector(numbers))
    }
}

fn time(at: At<'_>, read: Result<Timestamp, TimestampFault>) -> Value {
    match read {
        Ok(time) => Value::Time(time),
        Err(fault) => {
            at.fault(&fault.to_string());
            Value::Missing
        }
    }
}

fn image(kind: &FeatureKind) -> Option<Image> {
    match *kind {
        FeatureKind::Image { height, width, channels, max } => Some(Image { height, width, channels, max }),
        _ => None,
    }
}

/// A number of a vector.
struct Element;

impl Kind<'_> for Element {
    type Output = f32;

    fn unfit(self, at: At<'_>) -> f32 {
        at.fault("a number is expected");
        0.0
    }

    fn number(self, at: At<'_>, number: Number) -> f32 {
        number.within_f32(at).map_or(0.0, |number| number as f32)
    }
}
