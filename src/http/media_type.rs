//! The media types of bodies.

use axum::http::{HeaderMap, header};

use super::problem::{Kind, Problem};

/// JSON.
pub const JSON: &str = "application/json";

/// One JSON document a line.
pub const NDJSON: &str = "application/x-ndjson";

/// Records of values behind a header.
pub const CSV: &str = "text/csv";

/// An Arrow IPC stream.
pub const ARROW: &str = "application/vnd.apache.arrow.stream";

/// The body's media type without its parameters, in lower case; empty if it has none.
pub fn of(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Refuses a body that is not declared as JSON.
pub fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
    if of(headers) == JSON { Ok(()) } else { Err(unsupported(&[JSON])) }
}

/// Refuses a body of another media type than these.
pub fn unsupported(known: &[&str]) -> Problem {
    Problem::new(Kind::UnsupportedMediaType, format!("`content-type` must be {}", known.join(" or ")))
}

/// Whether the client asks for one JSON document a line.
pub fn accepts_ndjson(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|entry| entry.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(NDJSON))
}
