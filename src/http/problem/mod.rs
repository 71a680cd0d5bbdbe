//! Problem documents (RFC 9457): every answer that is no success.
//!
//! A problem points at values and never quotes them. `code` is stable, `detail` is for people, `errors` holds JSON
//! pointers into the body.

mod from;
mod kind;

use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};

pub use kind::Kind;

use crate::stream::decode::Fault;

/// The media type of a problem document.
pub const MEDIA_TYPE: &str = "application/problem+json";

tokio::task_local! {
    /// The id of the request that is being answered: set by the outermost layer, shown by every problem.
    pub static REQUEST_ID: String;
}

/// An answer that is no success.
#[derive(Debug, Clone)]
pub struct Problem(Box<Parts>);

#[derive(Debug, Clone)]
struct Parts {
    kind: Kind,
    detail: String,
    errors: Vec<Fault>,
    members: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    #[serde(skip_serializing_if = "<[Fault]>::is_empty")]
    errors: &'a [Fault],
    #[serde(flatten)]
    members: &'a Map<String, Value>,
}

impl Problem {
    /// A problem of this kind with a sentence for people.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            kind,
            detail: detail.into(),
            errors: Vec::new(),
            members: Map::new(),
            headers: Vec::new(),
        }))
    }

    /// With the places in the body that are at fault.
    pub fn with_errors(mut self, errors: Vec<Fault>) -> Self {
        self.0.errors = errors;
        self
    }

    /// With one place at fault and what is wrong there.
    pub fn at(self, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        self.with_errors(vec![Fault { pointer: pointer.into(), detail: detail.into() }])
    }

    /// With a further member of the document.
    pub fn with_member(mut self, name: &str, value: Value) -> Self {
        self.0.members.insert(name.to_owned(), value);
        self
    }

    /// With a header of the answer; one of the kind's own is replaced.
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }

    /// The connection ends with this answer.
    pub fn closing(self) -> Self {
        self.with_header(header::CONNECTION, HeaderValue::from_static("close"))
    }

    /// What kind it is.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Parts { kind, detail, errors, members, headers } = &*self.0;
        let document = Document {
            r#type: format!("urn:perennial:problem:{}", kind.code()),
            title: kind.title(),
            status: kind.status().as_u16(),
            detail,
            code: kind.code(),
            request_id: REQUEST_ID.try_with(Clone::clone).ok(),
            errors,
            members,
        };
        let body = serde_json::to_vec(&document).expect("strings, numbers and JSON values can be written as JSON");
        let mut response = (kind.status(), [(header::CONTENT_TYPE, MEDIA_TYPE)], body).into_response();
        if let Some(seconds) = kind.retry_after() {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        for (name, value) in headers {
            response.headers_mut().insert(name, value.clone());
        }
        response
    }
}

#[cfg(test)]
mod tests;
