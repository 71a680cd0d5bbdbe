//! Query parameters, strictly: an unknown or repeated one is a fault, not something to overlook.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::problem::{Kind, Problem};
use super::state::AppState;

/// The entries of a page if `limit` does not say.
pub const DEFAULT_LIMIT: usize = 100;

/// The most entries of a page.
pub const MAX_LIMIT: usize = 1_000;

/// The parameters of a request.
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Refuses every parameter but these.
    pub fn only(&self, known: &[&str]) -> Result<(), Problem> {
        for (index, (key, _)) in self.0.iter().enumerate() {
            if !known.contains(&key.as_str()) {
                let list = if known.is_empty() { "none".into() } else { known.join(", ") };
                return Err(Problem::new(
                    Kind::InvalidQuery,
                    format!("a query parameter is not known here; known are: {list}"),
                ));
            }
            if self.0[..index].iter().any(|(earlier, _)| earlier == key) {
                return Err(fault(key, "stands twice"));
            }
        }
        Ok(())
    }

    /// The text of a parameter.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A whole number.
    pub fn number(&self, name: &str) -> Result<Option<u64>, Problem> {
        // The store counts in signed 64 bits.
        let parse = |text: &str| text.parse().ok().filter(|&number| i64::try_from(number).is_ok());
        match self.text(name) {
            None => Ok(None),
            Some(text) => parse(text).map(Some).ok_or_else(|| fault(name, "must be a whole number")),
        }
    }

    /// `true` or `false`; `false` if it is not there.
    pub fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.text(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(fault(name, "must be `true` or `false`")),
        }
    }

    /// The parameter `limit` of a list.
    pub fn limit(&self) -> Result<usize, Problem> {
        match self.number("limit")? {
            None => Ok(DEFAULT_LIMIT),
            Some(number) => match usize::try_from(number) {
                Ok(limit) if (1..=MAX_LIMIT).contains(&limit) => Ok(limit),
                _ => Err(fault("limit", &format!("must be from 1 to {MAX_LIMIT}"))),
            },
        }
    }
}

/// A parameter that makes no sense.
pub fn fault(name: &str, detail: &str) -> Problem {
    Problem::new(Kind::InvalidQuery, format!("the query parameter `{name}` {detail}"))
}

impl FromRequestParts<AppState> for Query {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, Problem> {
        axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&parts.uri)
            .map(|axum::extract::Query(pairs)| Self(pairs))
            .map_err(|_| Problem::new(Kind::InvalidQuery, "the query cannot be read"))
    }
}
