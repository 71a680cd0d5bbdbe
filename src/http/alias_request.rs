//! What requests about aliases have in common: who asks, why, and what the alias must be for it.

use axum::body::Bytes;
use axum::http::{HeaderMap, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::problem::{Kind, Problem};
use super::state::AppState;
use super::{document, media_type};
use crate::registry::{Actor, AliasEdit, AliasName, AliasOrder, Expected};

/// The header that says who asks.
pub const ACTOR: &str = "perennial-actor";

/// The longest reason, in characters.
const LONGEST_REASON: usize = 500;

/// A body that says why and nothing else.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReasonDocument {
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
}

/// Who asks, what the alias must be, and why.
#[derive(Debug, Clone)]
pub struct Request {
    expected: Expected,
    actor: Actor,
    reason: Option<String>,
    most: usize,
}

impl Request {
    /// Reads the headers; `reason` is what the body says.
    pub fn read(state: &AppState, headers: &HeaderMap, reason: Option<String>) -> Result<Self, Problem> {
        let sound =
            |text: &String| (1..=LONGEST_REASON).contains(&text.chars().count()) && !text.chars().any(char::is_control);
        if reason.as_ref().is_some_and(|text| !sound(text)) {
            return Err(Problem::new(Kind::InvalidDocument, "the document is at fault; nothing was changed").at(
                "/reason",
                format!("must have 1 to {LONGEST_REASON} characters, none of them a control character"),
            ));
        }
        let most = state.config.limits.aliases;
        Ok(Self { expected: expected(headers)?, actor: actor(headers)?, reason, most })
    }

    /// The order for this edit of an alias.
    pub fn order(&self, alias: &AliasName, edit: AliasEdit) -> AliasOrder {
        let Self { expected, actor, reason, most } = self.clone();
        AliasOrder { alias: alias.clone(), edit, expected, actor, reason, most }
    }

    /// Whether the asker says what the alias must be.
    pub fn is_conditional(&self) -> bool {
        self.expected != Expected::Any
    }

    /// The same request, of an alias in this generation alone.
    pub fn at(&self, generation: u64) -> Self {
        Self { expected: Expected::Generations(vec![generation]), ..self.clone() }
    }
}

/// The document in a body that may be empty.
pub fn optional<T: DeserializeOwned + Default>(headers: &HeaderMap, body: &Bytes) -> Result<T, Problem> {
    if body.is_empty() {
        return Ok(T::default());
    }
    media_type::require_json(headers)?;
    document::decode(&document::json(body)?)
}

fn actor(headers: &HeaderMap) -> Result<Actor, Problem> {
    let Some(value) = headers.get(ACTOR) else { return Ok(Actor::operator()) };
    let text = std::str::from_utf8(value.as_bytes()).ok();
    text.and_then(Actor::parse).ok_or_else(|| {
        let detail = "`perennial-actor` must have 1 to 64 characters and cannot be `trainer`";
        Problem::new(Kind::InvalidHeader, detail)
    })
}

/// What `If-Match` and `If-None-Match` ask for. A tag that is none of ours matches nothing.
fn expected(headers: &HeaderMap) -> Result<Expected, Problem> {
    let fault = |detail: &str| Problem::new(Kind::InvalidHeader, detail);
    let mut conditions = [header::IF_MATCH, header::IF_NONE_MATCH].map(|name| {
        let values = headers.get_all(name);
        values.iter().map(|value| value.to_str().unwrap_or_default().to_owned()).collect::<Vec<_>>().join(",")
    });
    for condition in &mut conditions {
        *condition = condition.trim().to_owned();
    }
    match conditions.each_ref().map(String::as_str) {
        ["", ""] => Ok(Expected::Any),
        ["", "*"] => Ok(Expected::Absent),
        ["", _] => Err(fault("`if-none-match` takes `*` here: the alias must not be there yet")),
        ["*", ""] => Ok(Expected::Present),
        [tags, ""] => {
            let generation = |tag: &str| tag.trim().strip_prefix('"')?.strip_suffix('"')?.parse().ok();
            Ok(Expected::Generations(tags.split(',').filter_map(generation).collect()))
        }
        _ => Err(fault("`if-match` and `if-none-match` cannot both hold")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(headers: &[(header::HeaderName, &str)]) -> Result<Expected, Problem> {
        let pairs = headers.iter().map(|(name, value)| (name.clone(), value.parse().unwrap()));
        expected(&HeaderMap::from_iter(pairs))
    }

    #[test]
    fn conditions_are_read_as_http_means_them() {
        let cases = [
            (&[][..], Expected::Any),
            (&[(header::IF_NONE_MATCH, "*")], Expected::Absent),
            (&[(header::IF_MATCH, "*")], Expected::Present),
            (&[(header::IF_MATCH, "\"7\"")], Expected::Generations(vec![7])),
            (&[(header::IF_MATCH, "\"7\", \"8\"")], Expected::Generations(vec![7, 8])),
            // A weak tag, and one of something else: neither matches strongly.
            (&[(header::IF_MATCH, "W/\"7\", \"abc\", 9")], Expected::Generations(vec![])),
        ];
        for (headers, expected) in cases {
            assert_eq!(read(headers).unwrap(), expected);
        }
        for headers in
            [&[(header::IF_NONE_MATCH, "\"7\"")][..], &[(header::IF_MATCH, "\"7\""), (header::IF_NONE_MATCH, "*")]]
        {
            assert_eq!(read(headers).unwrap_err().kind(), Kind::InvalidHeader);
        }
    }
}
