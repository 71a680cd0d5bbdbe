//! Reading JSON in one pass: every expected kind of value says what it makes of the JSON it meets.
//!
//! A value of another kind is a fault at its place, never an error of serde: an error means that the text is no JSON,
//! and nothing else. Whatever is not wanted is read to its end, within serde_json's limit of depth. Used by the
//! decoders of this folder.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::place::{At, FaultList};
use super::{DecodeError, Fault};

/// A JSON number as it was written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Number {
    Unsigned(u64),
    Signed(i64),
    Real(f64),
}

impl Number {
    /// The nearest f64.
    pub fn as_f64(self) -> f64 {
        match self {
            Self::Unsigned(number) => number as f64,
            Self::Signed(number) => number as f64,
            Self::Real(number) => number,
        }
    }

    /// The number if f32 has room for it; a fault if not.
    pub fn within_f32(self, at: At<'_>) -> Option<f64> {
        let number = self.as_f64();
        if (number as f32).is_finite() {
            Some(number)
        } else {
            at.fault(BEYOND_F32);
            None
        }
    }
}

const BEYOND_F32: &str = "the number is beyond the range of 32-bit floats";

/// A kind of value: what it makes of each kind of JSON. `unfit` is the answer to everything that it does not expect.
pub(super) trait Kind<'de>: Sized {
    type Output;

    fn unfit(self, at: At<'_>) -> Self::Output;

    fn null(self, at: At<'_>) -> Self::Output {
        self.unfit(at)
    }

    /// `text`: `true` or `false`.
    fn boolean(self, at: At<'_>, _text: &'static str) -> Self::Output {
        self.unfit(at)
    }

    fn number(self, at: At<'_>, _number: Number) -> Self::Output {
        self.unfit(at)
    }

    fn text(self, at: At<'_>, _text: &str) -> Self::Output {
        self.unfit(at)
    }

    /// Must read the list to its end.
    fn list<A: SeqAccess<'de>>(self, at: At<'_>, mut list: A) -> Result<Self::Output, A::Error> {
        while list.next_element_seed(Read { at, kind: Skip })?.is_some() {}
        Ok(self.unfit(at))
    }

    /// Must read the object to its end.
    fn object<A: MapAccess<'de>>(self, at: At<'_>, mut object: A) -> Result<Self::Output, A::Error> {
        while object.next_key_seed(Read { at, kind: Skip })?.is_some() {
            object.next_value_seed(Read { at, kind: Skip })?;
        }
        Ok(self.unfit(at))
    }
}

/// Reads a value of a kind at a place.
pub(super) struct Read<'a, K> {
    pub at: At<'a>,
    pub kind: K,
}

impl<'de, K: Kind<'de>> DeserializeSeed<'de> for Read<'_, K> {
    type Value = K::Output;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<K::Output, D::Error> {
        let at = self.at;
        deserializer.deserialize_any(self).inspect_err(|_| at.note_stop())
    }
}

impl<'de, K: Kind<'de>> Visitor<'de> for Read<'_, K> {
    type Value = K::Output;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON")
    }

    fn visit_unit<E>(self) -> Result<K::Output, E> {
        Ok(self.kind.null(self.at))
    }

    fn visit_bool<E>(self, value: bool) -> Result<K::Output, E> {
        Ok(self.kind.boolean(self.at, if value { "true" } else { "false" }))
    }

    fn visit_u64<E>(self, number: u64) -> Result<K::Output, E> {
        Ok(self.kind.number(self.at, Number::Unsigned(number)))
    }

    fn visit_i64<E>(self, number: i64) -> Result<K::Output, E> {
        Ok(self.kind.number(self.at, Number::Signed(number)))
    }

    fn visit_f64<E>(self, number: f64) -> Result<K::Output, E> {
        Ok(self.kind.number(self.at, Number::Real(number)))
    }

    fn visit_str<E>(self, text: &str) -> Result<K::Output, E> {
        Ok(self.kind.text(self.at, text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<K::Output, A::Error> {
        self.kind.list(self.at, list)
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<K::Output, A::Error> {
        self.kind.object(self.at, object)
    }
}

/// Any value, which is read past.
pub(super) struct Skip;

impl Kind<'_> for Skip {
    type Output = ();

    fn unfit(self, _at: At<'_>) {}
}

/// A key: its index among the known ones, or its text.
pub(super) struct Key<F>(pub F);

impl<F: FnOnce(&str) -> Option<usize>> Kind<'_> for Key<F> {
    type Output = Result<usize, String>;

    fn unfit(self, _at: At<'_>) -> Self::Output {
        Err(String::new())
    }

    fn text(self, _at: At<'_>, text: &str) -> Self::Output {
        (self.0)(text).ok_or_else(|| text.to_owned())
    }
}

/// Reads a whole text as one value at a place; an error if it is no JSON, or was given up.
pub(super) fn read_text<'de, K: Kind<'de>>(
    text: &'de [u8],
    at: At<'_>,
    kind: K,
) -> Result<K::Output, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let value = Read { at, kind }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

/// A body that was read, with what is wrong in it, or the answer for one that broke off.
pub(super) fn answer<T>(
    read: Result<T, serde_json::Error>,
    faults: FaultList,
    max_rows: usize,
) -> Result<(T, FaultList), DecodeError> {
    if faults.has_too_many_rows() {
        return Err(DecodeError::TooManyRows { limit: max_rows });
    }
    match read {
        Ok(value) => Ok((value, faults)),
        Err(error) => {
            let pointer = faults.stopped_at();
            Err(broken(&error, faults, pointer, error.line()))
        }
    }
}

/// The answer for a text that broke off. A number that f64 has no room for is JSON, although serde_json stops there.
pub(super) fn broken(error: &serde_json::Error, faults: FaultList, pointer: String, line: usize) -> DecodeError {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let what = match text.strip_suffix(&place) {
        Some("number out of range") => {
            let stopped_at = faults.stopped_at();
            faults.add(stopped_at, BEYOND_F32);
            return DecodeError::Invalid(faults.into_faults());
        }
        Some("recursion limit exceeded") => "the JSON is nested deeper than 127 levels",
        // The texts of these categories are serde_json's own and never quote the body.
        Some(own) if error.is_syntax() || error.is_eof() => own,
        _ => "the text cannot be read as JSON",
    };
    DecodeError::Malformed(Fault { pointer, detail: format!("line {line}: {what} at column {}", error.column()) })
}
