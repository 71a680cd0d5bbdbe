//! Reading a settings document strictly, with a pointer to what is at fault.
//!
//! serde says what is wrong and not where. The place is found by trying again: the child whose removal changes the
//! error is the one that caused it, and so on down.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::problem::{Kind, Problem};
use crate::stream::decode::Fault;

/// Children of one object or array that are tried; below a larger one the pointer stops.
const MAX_CHILDREN: usize = 256;

/// How deep the search goes: no settings document is deeper.
const MAX_DEPTH: usize = 8;

/// The largest settings document.
const MAX_BYTES: usize = 1 << 20;

/// The JSON of a body.
pub fn json(body: &[u8]) -> Result<Value, Problem> {
    if body.len() > MAX_BYTES {
        return Err(Problem::new(Kind::BodyTooLarge, format!("a document has at most {MAX_BYTES} bytes")));
    }
    serde_json::from_slice(body).map_err(|error| {
        let place = format!("not well-formed at line {}, column {}", error.line(), error.column());
        Problem::new(Kind::MalformedBody, "the body is no JSON document").at("", place)
    })
}

/// The value that a JSON document describes.
pub fn decode<T: DeserializeOwned>(document: &Value) -> Result<T, Problem> {
    read(document).map_err(|fault| {
        Problem::new(Kind::InvalidDocument, "the document is at fault; nothing was changed").with_errors(vec![fault])
    })
}

/// The value that a JSON object describes, or what is wrong with the object and where below it.
pub fn read<T: DeserializeOwned>(document: &Value) -> Result<T, Fault> {
    if !document.is_object() {
        // serde would also read a struct from an array of its fields.
        return Err(Fault { pointer: String::new(), detail: "must be a JSON object".into() });
    }
    let attempt = |value: &Value| T::deserialize(value).map(drop).map_err(|error| error.to_string());
    match T::deserialize(document) {
        Ok(value) => Ok(value),
        Err(error) => {
            let error = error.to_string();
            let mut pointer = String::new();
            locate(document, &error, &attempt, &mut pointer, MAX_DEPTH);
            Err(Fault { pointer, detail: without_values(&error) })
        }
    }
}

/// Faults found by the crate's own checks, as a problem; `Ok` if there are none.
pub fn refuse_faults(faults: Vec<(String, String)>) -> Result<(), Problem> {
    if faults.is_empty() {
        return Ok(());
    }
    let errors = faults.into_iter().map(|(pointer, detail)| Fault { pointer, detail }).collect();
    Err(Problem::new(Kind::InvalidDocument, "the document is at fault; nothing was changed").with_errors(errors))
}

type Suspicion<'a> = &'a dyn Fn(&Step, &Value) -> bool;

type Attempt<'a> = &'a dyn Fn(&Value) -> Result<(), String>;

/// Extends `pointer` towards the child of `value` that causes `error`.
fn locate(value: &Value, error: &str, attempt: Attempt<'_>, pointer: &mut String, depth: usize) {
    if depth == 0 || is_missing_here(value, error, attempt) {
        return;
    }
    let Some(step) = culprit(value, error, attempt) else { return };
    pointer.push('/');
    let child = match &step {
        Step::Key(key) => {
            pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
            &value[key.as_str()]
        }
        Step::Index(index) => {
            pointer.push_str(&index.to_string());
            &value[*index]
        }
    };
    let below = |replacement: &Value| attempt(&replaced(value, &step, replacement.clone()));
    if [Value::Null, emptied(child)].iter().any(|other| below(other).err().as_deref() == Some(error)) {
        // Whatever it holds: it is not at its place.
        return;
    }
    locate(child, error, &below, pointer, depth - 1);
}

/// Whether the error is a missing key and this object is the one that misses it.
fn is_missing_here(value: &Value, error: &str, attempt: Attempt<'_>) -> bool {
    let key = error.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
    let (Some(key), Some(members)) = (key, value.as_object()) else { return false };
    let with = replaced(value, &Step::Key(key.to_owned()), Value::Null);
    let changes = |now: String| now != error && !now.starts_with("unknown field");
    !members.contains_key(key) && attempt(&with).map_or_else(changes, |()| true)
}

/// The child that causes the error: first the key that the sentence calls unknown; then a scalar that the sentence quotes, so that
/// another one changes the sentence;
/// then one without which the error is another. A tag (`kind`) comes last: without it nothing beside it can be read.
fn culprit(value: &Value, error: &str, attempt: Attempt<'_>) -> Option<Step> {
    let children: Vec<(Step, &Value)> = match value {
        Value::Object(members) => members.iter().map(|(key, child)| (Step::Key(key.clone()), child)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(index, child)| (Step::Index(index), child)).collect(),
        _ => return None,
    };
    if children.len() > MAX_CHILDREN {
        return None;
    }
    let changes = |changed: Value| attempt(&changed).err().as_deref() != Some(error);
    let is_tag = |step: &Step| matches!(step, Step::Key(key) if key == "kind");
    let quoted = |step: &Step, child: &Value| {
        if is_tag(step) {
            return child.as_str().is_some_and(|tag| error.starts_with(&format!("unknown variant `{tag}`")));
        }
        another(child).is_some_and(|other| changes(replaced(value, step, other)))
    };
    let needed = |step: &Step| changes(without(value, step));
    let unknown = error.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next());
    let unknown = unknown.filter(|key| value.get(key).is_some()).map(|key| Step::Key(key.to_owned()));
    if let Some(step) = unknown.filter(needed) {
        return Some(step);
    }
    let needed_container = |step: &Step, child: &Value| (child.is_object() || child.is_array()) && needed(step);
    // What misses a key is an object.
    let rounds: &[Suspicion<'_>] = match error.starts_with("missing field") {
        true => &[&needed_container],
        false => &[&quoted, &needed_container, &|step, _| !is_tag(step) && needed(step), &|step, _| {
            is_tag(step) && needed(step)
        }],
    };
    let found = rounds.iter().find_map(|round| children.iter().find(|(step, child)| round(step, child)));
    found.map(|(step, _)| step.clone())
}

/// Another scalar of the same kind, as good or as bad as this one in all likelihood.
fn another(scalar: &Value) -> Option<Value> {
    match scalar {
        Value::Null => Some(Value::Bool(true)),
        Value::Bool(bit) => Some(Value::Bool(!bit)),
        Value::String(text) => Some(Value::String(format!("{text}0"))),
        Value::Number(number) => {
            let whole = number
                .as_i64()
                .map(|number| if number < 0 { number.saturating_sub(1) } else { number.saturating_add(1) });
            whole.map(Value::from).or_else(|| number.as_f64().map(|number| Value::from(number * 1.5)))
        }
        Value::Array(_) | Value::Object(_) => None,
    }
}

/// A value of the same kind that holds nothing.
fn emptied(value: &Value) -> Value {
    match value {
        Value::Array(_) => Value::Array(Vec::new()),
        Value::Object(_) => Value::Object(serde_json::Map::new()),
        scalar => scalar.clone(),
    }
}

fn replaced(value: &Value, step: &Step, child: Value) -> Value {
    let mut value = value.clone();
    match step {
        Step::Key(key) => value[key.as_str()] = child,
        Step::Index(index) => value[*index] = child,
    }
    value
}

fn without(value: &Value, step: &Step) -> Value {
    let mut value = value.clone();
    match (&mut value, step) {
        (Value::Object(members), Step::Key(key)) => drop(members.remove(key)),
        (Value::Array(items), Step::Index(index)) => drop(items.remove(*index)),
        _ => {}
    }
    value
}

#[derive(Clone)]
enum Step {
    Key(String),
    Index(usize),
}

/// serde's sentence without the value that it quotes.
fn without_values(error: &str) -> String {
    let quotes_a_value = ["invalid type", "invalid value", "invalid length", "unknown variant"];
    match error.split_once("expected ") {
        Some((before, expected)) if quotes_a_value.iter().any(|start| before.starts_with(start)) => {
            format!("expected {expected}")
        }
        _ => error.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;
    use http_body_util::BodyExt;
    use serde_json::json;

    use super::*;
    use crate::training::LearnerDocument;

    fn learner() -> Value {
        json!({
            "name": "digits",
            "task": {"kind": "classification", "classes": ["0", "1"]},
            "schema": {"features": [{"name": "a", "kind": "numeric"}, {"name": "b", "kind": "vector", "size": 3}]},
            "network": {"kind": "mlp", "hidden": [16]},
            "training": {"batch": 32, "optimizer": "adam"},
            "policy": {"kind": "data_volume", "max_parameters": 1000}
        })
    }

    async fn fault(document: &Value) -> (String, String) {
        let problem = decode::<LearnerDocument>(document).unwrap_err();
        let bytes = problem.into_response().into_body().collect().await.unwrap().to_bytes();
        let document: Value = serde_json::from_slice(&bytes).unwrap();
        let error = document["errors"][0].clone();
        (error["pointer"].as_str().unwrap().into(), error["detail"].as_str().unwrap().into())
    }

    #[tokio::test]
    async fn a_fault_is_pointed_at() {
        decode::<LearnerDocument>(&learner()).unwrap();
        for (pointer, value) in [
            ("/training/batch", json!("many")),
            ("/training/batch", json!(-1)),
            ("/training/optimizer", json!("adamant")),
            ("/network/hidden/0", json!("wide")),
            ("/network/kind", json!("perceptron")),
            ("/schema/features/1/size", json!(-3)),
            ("/schema/features/1/kind", json!("sound")),
            ("/policy/max_parameters", json!("all")),
            ("/task/classes/1", json!(7)),
            ("/name", json!("../evil")),
        ] {
            let mut document = learner();
            *document.pointer_mut(pointer).unwrap() = value.clone();
            let (found, detail) = fault(&document).await;
            assert_eq!(found, pointer, "{detail}");
            if let Some(text) = value.as_str() {
                assert!(!detail.contains(text), "{detail} quotes the value");
            }
        }
    }

    #[tokio::test]
    async fn an_unknown_key_is_pointed_at() {
        for (pointer, parent, key) in [
            ("/nam", "", "nam"),
            ("/training/batches", "/training", "batches"),
            ("/network/width", "/network", "width"),
            ("/policy/a~1b", "/policy", "a/b"),
            ("/schema/features/0/part", "/schema/features/0", "part"),
        ] {
            // What stands there would be good elsewhere.
            for value in [json!(["trend"]), json!({"kind": "relu"})] {
                let mut document = learner();
                document.pointer_mut(parent).unwrap()[key] = value;
                assert_eq!(fault(&document).await.0, pointer);
            }
        }
    }

    #[tokio::test]
    async fn a_missing_key_is_named() {
        let mut document = learner();
        document.as_object_mut().unwrap().remove("task");
        let (pointer, detail) = fault(&document).await;
        assert_eq!(pointer, "");
        assert!(detail.contains("task"), "{detail}");

        let mut document = learner();
        document["schema"]["features"][1].as_object_mut().unwrap().remove("size");
        let (pointer, detail) = fault(&document).await;
        assert_eq!(pointer, "/schema/features/1");
        assert!(detail.contains("size"), "{detail}");
    }

    #[test]
    fn deep_and_broken_json_is_malformed() {
        for body in ["[".repeat(100_000), "{\"name\": }".into(), "\u{0}".into(), "{} {}".into(), String::new()] {
            assert_eq!(json(body.as_bytes()).unwrap_err().kind(), Kind::MalformedBody);
        }
    }
}
