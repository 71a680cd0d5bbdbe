//! Reading an op's hyperparameters strictly: every one present, none besides, each of its type and range.
//!
//! Messages name hyperparameters and limits and never quote what was given. For the ops of this folder.

use serde_json::{Map, Value, json};

/// The largest size a document may name; what a network allows is smaller still ([`crate::network::graph::Limits`]).
const MAX_SIZE: u64 = 1 << 24;

/// The hyperparameters of one document, of which it is known that they have the right names.
pub(super) struct Fields<'a>(&'a Map<String, Value>);

impl<'a> Fields<'a> {
    /// Takes a document that has exactly the hyperparameters `names`.
    pub(super) fn exactly(document: &'a Map<String, Value>, names: &[&str]) -> Result<Self, String> {
        Self::with_optional(document, names, &[])
    }

    /// Takes a document that has the hyperparameters `names`, and of `optional` those that it likes: what an op learned
    /// after networks without it were stored.
    pub(super) fn with_optional(
        document: &'a Map<String, Value>,
        names: &[&str],
        optional: &[&str],
    ) -> Result<Self, String> {
        if let Some(missing) = names.iter().find(|name| !document.contains_key(**name)) {
            return Err(format!("the hyperparameter `{missing}` is missing"));
        }
        let known = |name: &String| names.contains(&name.as_str()) || optional.contains(&name.as_str());
        if document.keys().all(known) {
            return Ok(Self(document));
        }
        let all: Vec<&str> = names.iter().chain(optional).copied().collect();
        if all.is_empty() {
            return Err("takes no hyperparameters".into());
        }
        Err(format!("an unknown hyperparameter; there are only `{}`", all.join("`, `")))
    }

    /// Two whole numbers, or those of `default` where there are none.
    pub(super) fn pair_or(&self, name: &str, default: [usize; 2]) -> Result<[usize; 2], String> {
        if self.0.contains_key(name) { self.pair(name) } else { Ok(default) }
    }

    /// A whole number of at least 0.
    pub(super) fn size(&self, name: &str) -> Result<usize, String> {
        self.0.get(name).and_then(size).ok_or_else(|| format!("`{name}` is a whole number from 0 to {MAX_SIZE}"))
    }

    /// Two whole numbers of at least 0: for height and for width.
    pub(super) fn pair(&self, name: &str) -> Result<[usize; 2], String> {
        let both = self.0.get(name).and_then(Value::as_array).and_then(|items| match &items[..] {
            [height, width] => Some([size(height)?, size(width)?]),
            _ => None,
        });
        both.ok_or_else(|| format!("`{name}` is two whole numbers from 0 to {MAX_SIZE}: for height and for width"))
    }

    /// A finite number.
    pub(super) fn number(&self, name: &str) -> Result<f64, String> {
        let number = self.0.get(name).and_then(Value::as_f64).filter(|number| number.is_finite());
        number.ok_or_else(|| format!("`{name}` is a finite number"))
    }
}

/// The document of these hyperparameters.
pub(super) fn written<const N: usize>(fields: [(&str, Value); N]) -> Map<String, Value> {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The document of a pool: its padding only where there is one, as networks without it were stored.
pub(super) fn pool(kernel: [usize; 2], stride: [usize; 2], padding: [usize; 2]) -> Map<String, Value> {
    let mut document = written([("kernel", pair(kernel)), ("stride", pair(stride))]);
    if padding != [0, 0] {
        document.insert("padding".to_owned(), pair(padding));
    }
    document
}

/// A pair for height and width as documents hold it.
pub(super) fn pair(value: [usize; 2]) -> Value {
    json!(value)
}

fn size(value: &Value) -> Option<usize> {
    value.as_u64().filter(|&size| size <= MAX_SIZE).and_then(|size| usize::try_from(size).ok())
}
