//! A column whose values are texts, or stand for texts: categories, classes, ids.

use arrow_array::cast::AsArray;
use arrow_array::{Array, BooleanArray, LargeStringArray, StringArray, StringViewArray};
use arrow_schema::DataType;

use super::columns::Numbers;
use crate::stream::decode::read::Number;

/// The texts of one batch.
pub(super) enum Texts<'a> {
    Short(&'a StringArray),
    Long(&'a LargeStringArray),
    View(&'a StringViewArray),
    Truth(&'a BooleanArray),
    Whole(Numbers<'a>),
    Dictionary { keys: Vec<usize>, values: Box<Texts<'a>> },
}

/// Whether a column of this type can be read as texts.
pub(super) fn reads(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Boolean => true,
        DataType::Dictionary(_, values) => !matches!(**values, DataType::Dictionary(..)) && reads(values),
        other => other.is_integer(),
    }
}

impl<'a> Texts<'a> {
    /// The texts of a column of a type that [`reads`].
    pub fn of(array: &'a dyn Array) -> Option<Self> {
        Some(match array.data_type() {
            DataType::Utf8 => Self::Short(array.as_string_opt()?),
            DataType::LargeUtf8 => Self::Long(array.as_string_opt()?),
            DataType::Utf8View => Self::View(array.as_string_view_opt()?),
            DataType::Boolean => Self::Truth(array.as_boolean_opt()?),
            DataType::Dictionary(..) => {
                let dictionary = array.as_any_dictionary_opt()?;
                let values = dictionary.values();
                let keys = if values.is_empty() { Vec::new() } else { dictionary.normalized_keys() };
                Self::Dictionary { keys, values: Box::new(Self::of(values.as_ref())?) }
            }
            other if other.is_integer() => Self::Whole(Numbers::of(array)?),
            _ => return None,
        })
    }

    /// Gives the text at a place that is not null there; `None` if a dictionary says null.
    pub fn read<T>(&self, place: usize, take: impl FnOnce(&str) -> T) -> Option<T> {
        match self {
            Self::Short(array) => array.is_valid(place).then(|| take(array.value(place))),
            Self::Long(array) => array.is_valid(place).then(|| take(array.value(place))),
            Self::View(array) => array.is_valid(place).then(|| take(array.value(place))),
            Self::Truth(array) => {
                array.is_valid(place).then(|| take(if array.value(place) { "true" } else { "false" }))
            }
            Self::Whole(numbers) => match numbers.get(place)? {
                Number::Unsigned(number) => Some(take(&number.to_string())),
                Number::Signed(number) => Some(take(&number.to_string())),
                Number::Real(_) => None,
            },
            Self::Dictionary { keys, values } => values.read(*keys.get(place)?, take),
        }
    }
}
