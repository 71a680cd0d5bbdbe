//! The body `{"inputs": [{…}, …], "version"?: number or alias}`.

use serde::de::MapAccess;

use super::json::Rows;
use super::place::{At, FaultList};
use super::read::{Key, Kind, Number, Read, Skip, answer, read_text};
use super::row::{Features, Inputs};
use super::{DecodeError, Expected, PredictBody};

const KEYS: [&str; 2] = ["inputs", "version"];

/// The rows and the version of a prediction's body.
pub(super) fn body(body: &[u8], expected: Expected<'_>) -> Result<PredictBody, DecodeError> {
    let features = Features::of(expected.schema);
    let faults = FaultList::default();
    let read = read_text(body, faults.root(), Body { features: &features, max_rows: expected.max_rows });
    let (body, faults) = answer(read, faults, expected.max_rows)?;
    if faults.is_empty() { Ok(body) } else { Err(DecodeError::Invalid(faults.into_faults())) }
}

struct Body<'f> {
    features: &'f Features<'f>,
    max_rows: usize,
}

impl<'de> Kind<'de> for Body<'_> {
    type Output = PredictBody;

    fn unfit(self, at: At<'_>) -> PredictBody {
        at.fault("an object with `inputs` and, if you like, `version` is expected");
        PredictBody { rows: Vec::new(), version: None }
    }

    fn object<A: MapAccess<'de>>(self, at: At<'_>, mut object: A) -> Result<PredictBody, A::Error> {
        let (mut rows, mut version) = (None, None);
        let index = |key: &str| KEYS.iter().position(|known| *known == key);
        while let Some(key) = object.next_key_seed(Read { at, kind: Key(index) })? {
            let name = key.as_ref().map_or_else(String::as_str, |&index| KEYS[index]);
            let at = at.key(name);
            let came_twice = match key {
                Ok(0) => {
                    let list = Rows { kind: Inputs(self.features), max_rows: self.max_rows };
                    rows.replace(object.next_value_seed(Read { at, kind: list })?).is_some()
                }
                Ok(_) => version.replace(object.next_value_seed(Read { at, kind: VersionName })?).is_some(),
                Err(_) => {
                    at.fault("unknown key: the body has `inputs` and `version`");
                    object.next_value_seed(Read { at, kind: Skip })?;
                    false
                }
            };
            if came_twice {
                at.fault("the key stands there twice");
            }
        }
        if rows.is_none() {
            at.key("inputs").fault("the inputs are missing");
        }
        Ok(PredictBody { rows: rows.unwrap_or_default(), version: version.flatten() })
    }
}

/// A version's number or an alias; `None` for null and after a fault.
struct VersionName;

impl Kind<'_> for VersionName {
    type Output = Option<serde_json::Value>;

    fn unfit(self, at: At<'_>) -> Self::Output {
        at.fault("a version is its number or the name of an alias");
        None
    }

    fn null(self, _at: At<'_>) -> Self::Output {
        None
    }

    fn number(self, at: At<'_>, number: Number) -> Self::Output {
        match number {
            Number::Unsigned(number) => Some(number.into()),
            Number::Signed(_) | Number::Real(_) => self.unfit(at),
        }
    }

    fn text(self, _at: At<'_>, text: &str) -> Self::Output {
        Some(text.into())
    }
}
