//! The first place where two documents differ.

use serde::Serialize;
use serde_json::Value;

/// The most characters that are shown of a value.
const SHOWN: usize = 200;

/// Where what was lived is not what is recorded.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// The place of the recorded journal.
    pub position: u64,
    /// What differs: a result, a version, the checkpoint.
    pub what: String,
    /// A JSON pointer into its document; empty: the whole of it.
    pub pointer: String,
    /// What is recorded there.
    pub recorded: String,
    /// What was lived there.
    pub lived: String,
}

impl Difference {
    /// The first difference between two documents; `None` if they are the same.
    pub(super) fn between(position: u64, what: &str, recorded: &Value, lived: &Value) -> Option<Self> {
        let mut pointer = String::new();
        let (recorded, lived) = first(recorded, lived, &mut pointer)?;
        Some(Self { position, what: what.to_owned(), pointer, recorded, lived })
    }

    /// Something that only one of the two has.
    pub(super) fn alone(position: u64, what: &str, recorded: &str, lived: &str) -> Self {
        let (recorded, lived) = (recorded.to_owned(), lived.to_owned());
        Self { position, what: what.to_owned(), pointer: String::new(), recorded, lived }
    }
}

/// Extends the pointer to the first difference; what stands there in the one and in the other.
fn first(one: &Value, other: &Value, pointer: &mut String) -> Option<(String, String)> {
    match (one, other) {
        (Value::Object(ones), Value::Object(others)) => {
            let keys = ones.keys().chain(others.keys().filter(|key| !ones.contains_key(*key)));
            keys.map(|key| (key.as_str(), ones.get(key), others.get(key)))
                .find_map(|(key, one, other)| below(key, one, other, pointer))
        }
        (Value::Array(ones), Value::Array(others)) => (0..ones.len().max(others.len()))
            .find_map(|index| below(&index.to_string(), ones.get(index), others.get(index), pointer)),
        (one, other) => (one != other).then(|| (shown(Some(one)), shown(Some(other)))),
    }
}

fn below(key: &str, one: Option<&Value>, other: Option<&Value>, pointer: &mut String) -> Option<(String, String)> {
    let length = pointer.len();
    pointer.push('/');
    pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
    let found = match (one, other) {
        (Some(one), Some(other)) => first(one, other, pointer),
        (one, other) => Some((shown(one), shown(other))),
    };
    if found.is_none() {
        pointer.truncate(length);
    }
    found
}

fn shown(value: Option<&Value>) -> String {
    let text = value.map_or_else(|| "nothing".into(), Value::to_string);
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_difference_is_pointed_at() {
        let recorded = json!({"a": [1, {"b/c": 2.5}], "d": "same"});
        let lived = json!({"a": [1, {"b/c": 2.75}], "d": "same"});
        let found = Difference::between(7, "result", &recorded, &lived).unwrap();
        assert_eq!((found.position, found.pointer.as_str()), (7, "/a/1/b~1c"));
        assert_eq!((found.recorded.as_str(), found.lived.as_str()), ("2.5", "2.75"));
        assert_eq!(Difference::between(7, "result", &recorded, &recorded), None);
    }

    #[test]
    fn what_only_one_of_them_has_is_a_difference() {
        let found = Difference::between(1, "result", &json!({"a": 1}), &json!({"a": 1, "b": [2]})).unwrap();
        assert_eq!((found.pointer.as_str(), found.recorded.as_str(), found.lived.as_str()), ("/b", "nothing", "[2]"));
        let found = Difference::between(1, "result", &json!([1, 2]), &json!([1])).unwrap();
        assert_eq!((found.pointer.as_str(), found.recorded.as_str(), found.lived.as_str()), ("/1", "2", "nothing"));
    }

    #[test]
    fn long_values_are_cut() {
        let found = Difference::between(1, "result", &json!("ä".repeat(1_000)), &json!(null)).unwrap();
        assert_eq!(found.recorded.chars().count(), SHOWN + 1);
    }
}
