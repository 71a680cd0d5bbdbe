//! A client of the HTTP surface: what every command but `serve` and `demo` speaks through.

use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use reqwest::{Method, StatusCode};
use serde_json::Value;

/// How often a request that may be repeated is tried.
const TRIES: u32 = 8;

/// A server, by its address.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
}

/// An answer that is not a success.
#[derive(Debug, Clone)]
pub struct Problem {
    /// The HTTP status.
    pub status: StatusCode,
    /// The problem document (RFC 9457), or null if the body was none.
    pub document: Value,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = |key| self.document.get(key).and_then(Value::as_str);
        let detail = text("detail").or_else(|| text("title")).unwrap_or("the server gave no reason");
        write!(formatter, "{detail} ({})", self.status)?;
        let faults = self.document.get("errors").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        for fault in faults.iter().take(10) {
            let part = |key| fault.get(key).and_then(Value::as_str).unwrap_or("");
            write!(formatter, "\n  {}: {}", part("pointer"), part("detail"))?;
        }
        if faults.len() > 10 {
            write!(formatter, "\n  and {} more", faults.len() - 10)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}

/// A body to send.
#[derive(Clone)]
pub struct Body {
    /// Its media type.
    pub media_type: &'static str,
    /// Its bytes.
    pub bytes: bytes::Bytes,
}

impl Body {
    /// A JSON body.
    pub fn json(document: &Value) -> Self {
        Self { media_type: "application/json", bytes: document.to_string().into() }
    }
}

impl Client {
    /// A client of the server at this address.
    pub fn new(server: &str) -> anyhow::Result<Self> {
        let base = server.trim_end_matches('/').to_owned();
        if !base.starts_with("http://") {
            bail!("the server's address must begin with http:// (put a proxy in front of it for TLS)");
        }
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .timeout(Duration::from_secs(120))
            .user_agent(concat!("perennial/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { http, base })
    }

    /// The JSON at a path.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.repeat(Method::GET, path, None).await
    }

    /// The bytes at a path.
    pub async fn get_bytes(&self, path: &str) -> anyhow::Result<bytes::Bytes> {
        let response = self.http.get(format!("{}{path}", self.base)).send().await.map_err(|error| self.reach(error))?;
        if !response.status().is_success() {
            return Err(problem(response).await.into());
        }
        Ok(response.bytes().await?)
    }

    /// One request that is not repeated.
    pub async fn send(&self, method: Method, path: &str, body: Option<Body>) -> anyhow::Result<Value> {
        self.send_with(method, path, body, &[]).await
    }

    /// One request that is not repeated, with further headers.
    pub async fn send_with(
        &self,
        method: Method,
        path: &str,
        body: Option<Body>,
        headers: &[(&'static str, String)],
    ) -> anyhow::Result<Value> {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let response = self.answer(request, body).await?;
        if !response.status().is_success() {
            return Err(problem(response).await.into());
        }
        document(response).await
    }

    /// A request that changes nothing when it comes twice: repeated while the server is busy or cannot be reached.
    pub async fn repeat(&self, method: Method, path: &str, body: Option<Body>) -> anyhow::Result<Value> {
        let mut wait = Duration::from_millis(200);
        for attempt in 1.. {
            let outcome = self.request(method.clone(), path, body.clone()).await;
            let (error, after) = match outcome {
                Ok(response) if response.status().is_success() => return document(response).await,
                Ok(response) => {
                    let after = retry_after(&response);
                    let problem = problem(response).await;
                    let busy = problem.status == StatusCode::TOO_MANY_REQUESTS || problem.status.is_server_error();
                    if !busy {
                        return Err(problem.into());
                    }
                    (problem.into(), after)
                }
                Err(error) => (error, None),
            };
            if attempt == TRIES {
                return Err(error.context(format!("gave up after {TRIES} tries")));
            }
            tokio::time::sleep(after.unwrap_or(wait)).await;
            wait = (wait * 2).min(Duration::from_secs(10));
        }
        unreachable!("the loop above returns at its last try")
    }

    async fn request(&self, method: Method, path: &str, body: Option<Body>) -> anyhow::Result<reqwest::Response> {
        self.answer(self.http.request(method, format!("{}{path}", self.base)), body).await
    }

    async fn answer(
        &self,
        mut request: reqwest::RequestBuilder,
        body: Option<Body>,
    ) -> anyhow::Result<reqwest::Response> {
        if let Some(body) = body {
            request = request.header("content-type", body.media_type).body(body.bytes);
        }
        request.send().await.map_err(|error| self.reach(error))
    }

    fn reach(&self, error: reqwest::Error) -> anyhow::Error {
        if error.is_connect() {
            return anyhow!("no server answers at {} (start one with `perennial serve`)", self.base);
        }
        anyhow!(error).context(format!("talking to {}", self.base))
    }
}

/// The path of a learner's resource; the name is escaped, so that an evil one cannot point elsewhere.
pub fn learner_path(learner: &str, rest: &str) -> String {
    format!("/v1/learners/{}{rest}", escaped(learner))
}

/// A text as one segment of a path.
pub fn escaped(text: &str) -> String {
    let mut segment = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') || (byte == b'.' && text.len() > 2) {
            segment.push(char::from(byte));
        } else {
            segment.push_str(&format!("%{byte:02X}"));
        }
    }
    segment
}

async fn document(response: reqwest::Response) -> anyhow::Result<Value> {
    let bytes = response.bytes().await.context("the answer broke off")?;
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&bytes).context("the answer is no JSON; is this a Perennial server?")
}

async fn problem(response: reqwest::Response) -> Problem {
    let status = response.status();
    let bytes = response.bytes().await.unwrap_or_default();
    Problem { status, document: serde_json::from_slice(&bytes).unwrap_or(Value::Null) }
}

fn retry_after(response: &reqwest::Response) -> Option<Duration> {
    let seconds = response.headers().get("retry-after")?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(std::cmp::min(seconds, 30)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_evil_name_stays_one_segment() {
        assert_eq!(learner_path("digits", "/growth"), "/v1/learners/digits/growth");
        assert_eq!(learner_path("../x?y", ""), "/v1/learners/..%2Fx%3Fy");
        assert_eq!(learner_path("..", ""), "/v1/learners/%2E%2E");
    }

    #[test]
    fn a_problem_shows_its_faults_in_order() {
        let document = serde_json::json!({
            "detail": "the examples do not fit the schema",
            "errors": [{"pointer": "/examples/0/label", "detail": "is missing"}],
        });
        let text = Problem { status: StatusCode::UNPROCESSABLE_ENTITY, document }.to_string();
        assert_eq!(
            text,
            "the examples do not fit the schema (422 Unprocessable Entity)\n  /examples/0/label: is missing"
        );
    }
}
