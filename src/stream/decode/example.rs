//! One example: `{"inputs": {…}, "label": …, "id"?: …}`. Used by the decoders of bodies.

use serde::de::MapAccess;

use super::Expected;
use super::label::{LabelValue, Labels};
use super::place::At;
use super::read::{Key, Kind, Read, Skip};
use super::row::{Features, Inputs};
use crate::stream::example::NewExample;
use crate::stream::schema::text_fault;

/// The longest id of an example, in characters.
const MAX_ID: usize = 200;

const KEYS: [&str; 3] = ["inputs", "label", "id"];

/// What an example is read against, prepared once for a body.
pub(super) struct ExampleReader<'s> {
    features: Features<'s>,
    labels: Labels<'s>,
}

impl<'s> ExampleReader<'s> {
    /// For the examples of a learner.
    pub fn of(expected: Expected<'s>) -> Self {
        Self { features: Features::of(expected.schema), labels: Labels::of(expected.task) }
    }
}

/// An example; `None` after a fault.
#[derive(Clone, Copy)]
pub(super) struct Example<'r>(pub &'r ExampleReader<'r>);

impl<'de> Kind<'de> for Example<'_> {
    type Output = Option<NewExample>;

    fn unfit(self, at: At<'_>) -> Option<NewExample> {
        at.fault("an object with `inputs`, `label` and, if you like, `id` is expected");
        None
    }

    fn object<A: MapAccess<'de>>(self, at: At<'_>, mut object: A) -> Result<Option<NewExample>, A::Error> {
        let (mut inputs, mut label, mut id) = (None, None, None);
        let index = |key: &str| KEYS.iter().position(|known| *known == key);
        while let Some(key) = object.next_key_seed(Read { at, kind: Key(index) })? {
            let name = key.as_ref().map_or_else(String::as_str, |&index| KEYS[index]);
            let at = at.key(name);
            let came_twice = match key {
                Ok(0) => {
                    let value = object.next_value_seed(Read { at, kind: Inputs(&self.0.features) })?;
                    inputs.replace(value).is_some()
                }
                Ok(1) => {
                    let value = object.next_value_seed(Read { at, kind: LabelValue(&self.0.labels) })?;
                    label.replace(value).is_some()
                }
                Ok(_) => id.replace(object.next_value_seed(Read { at, kind: Id })?).is_some(),
                Err(_) => {
                    at.fault("unknown key: an example has `inputs`, `label` and `id`");
                    object.next_value_seed(Read { at, kind: Skip })?;
                    false
                }
            };
            if came_twice {
                at.fault("the key stands there twice");
            }
        }
        if inputs.is_none() {
            at.key("inputs").fault("the inputs are missing");
        }
        if label.is_none() {
            at.key("label").fault("the label is missing");
        }
        Ok(match (inputs, label) {
            (Some(row), Some(Some(label))) => Some(NewExample { id: id.flatten(), row, label }),
            _ => None,
        })
    }
}

/// An example's id; `None` for null and after a fault.
pub(super) struct Id;

impl Kind<'_> for Id {
    type Output = Option<String>;

    fn unfit(self, at: At<'_>) -> Option<String> {
        at.fault("an id is a string");
        None
    }

    fn null(self, _at: At<'_>) -> Option<String> {
        None
    }

    fn text(self, at: At<'_>, text: &str) -> Option<String> {
        if let Some(detail) = text_fault(text, "an id", MAX_ID) {
            at.fault(&detail);
        }
        Some(text.to_owned())
    }
}
