//! The layers around every action, all of them: request ids, tracing, metrics, panics, load, time, bodies.

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::BoxError;
use axum::Extension;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::error_handling::HandleErrorLayer;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use prometheus::IntGauge;
use tokio::sync::Semaphore;
use tower::ServiceBuilder;
use tower::limit::GlobalConcurrencyLimitLayer;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument;

use super::encoding::unpacked;
use super::problem::{Kind, Problem, REQUEST_ID};
use crate::config::LimitsConfig;
use crate::metrics::HttpMetrics;

const REQUEST_ID_HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// The longest request id that is taken over from the client.
const MAX_REQUEST_ID: usize = 128;

/// How long a client may be silent while it sends a body.
const BODY_SILENCE: Duration = Duration::from_secs(15);

/// How many of the largest bodies may be in memory at once.
const BODIES_IN_MEMORY: usize = 16;

/// How much more than the limit of a too large body is read and thrown away, so that the client sees the answer
/// instead of a broken connection.
const DRAINED: usize = 4;

/// Bytes that one permit of the memory for bodies stands for.
pub const PERMIT_BYTES: usize = 1024;

/// The layers of everything but probes and metrics: load, time, packed bodies and body limits. The actions of `uploads` read their
/// bodies themselves, for as long as they make progress ([`super::upload`]).
pub fn limited<S: Clone + Send + Sync + 'static>(
    actions: Router<S>,
    uploads: Router<S>,
    limits: &LimitsConfig,
) -> Router<S> {
    let patience = Duration::from_secs(limits.request_seconds);
    let permits = 1 + limits.body_bytes.saturating_mul(BODIES_IN_MEMORY) / PERMIT_BYTES;
    let bodies = Bodies { limit: limits.body_bytes, patience, memory: Arc::new(Semaphore::new(permits)) };
    let at_once = GlobalConcurrencyLimitLayer::new(limits.concurrency);
    let problem = |error: BoxError| async move { Problem::from_layer(&error) };
    let actions = actions.layer(
        ServiceBuilder::new()
            .layer(HandleErrorLayer::new(problem))
            .load_shed()
            .layer(at_once.clone())
            .timeout(patience)
            .layer(from_fn(unpacked))
            .layer(from_fn_with_state(bodies.clone(), whole_body))
            .layer(DefaultBodyLimit::disable()),
    );
    let uploads = uploads.layer(
        ServiceBuilder::new()
            .layer(HandleErrorLayer::new(problem))
            .load_shed()
            .layer(at_once)
            .layer(from_fn(unpacked))
            .layer(Extension(bodies)),
    );
    actions.merge(uploads)
}

/// The layers of everything.
pub fn observed<S: Clone + Send + Sync + 'static>(router: Router<S>, metrics: &HttpMetrics) -> Router<S> {
    router.layer(
        ServiceBuilder::new()
            .layer(from_fn(identified))
            .layer(from_fn_with_state(metrics.clone(), measured))
            .layer(CatchPanicLayer::custom(panicked)),
    )
}

/// Gives the request its id, in the log, in problems and in the answer.
async fn identified(request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    let span = tracing::info_span!("request", id, method = %request.method(), route = route(&request));
    let mut response = REQUEST_ID.scope(id.clone(), next.run(request).instrument(span)).await;
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID_HEADER, value);
    }
    response
}

/// The client's id if it is plain, a new one otherwise.
fn request_id(headers: &HeaderMap) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':');
    headers
        .get(REQUEST_ID_HEADER)
        .and_then(|value| value.to_str().ok())
        .filter(|id| (1..=MAX_REQUEST_ID).contains(&id.len()) && id.bytes().all(plain))
        .map_or_else(|| uuid::Uuid::now_v7().to_string(), str::to_owned)
}

/// Counts and times the request under its route.
async fn measured(State(metrics): State<HttpMetrics>, request: Request, next: Next) -> Response {
    let route = route(&request).to_owned();
    let method = method(request.method());
    let began = Instant::now();
    let in_flight = InFlight::new(&metrics.in_flight);
    let response = next.run(request).await;
    drop(in_flight);
    let seconds = began.elapsed().as_secs_f64();
    let status = response.status();
    metrics.requests.with_label_values(&[route.as_str(), method, status.as_str()]).inc();
    metrics.seconds.with_label_values(&[route.as_str(), method]).observe(seconds);
    tracing::debug!(status = status.as_u16(), seconds, "answered");
    response
}

/// The pattern that the path matched, so that labels stay few.
fn route(request: &Request) -> &str {
    request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str)
}

fn method(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        _ => "other",
    }
}

/// One request in flight for as long as it lives: also when the client goes away.
struct InFlight(IntGauge);

impl InFlight {
    fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let message = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let message = message.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    Problem::internal(&format_args!("panic: {message}")).into_response()
}

/// How large bodies may be, each and all together, and how long their clients may take.
#[derive(Clone)]
pub struct Bodies {
    /// Bytes of a body that is read whole.
    pub limit: usize,
    /// The time of a request.
    pub patience: Duration,
    /// One permit for every [`PERMIT_BYTES`] of bodies in memory.
    pub memory: Arc<Semaphore>,
}

/// Reads the body before the action starts: within its limit, without long silences, within the memory for bodies.
async fn whole_body(State(bodies): State<Bodies>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let waits_for_consent = parts.headers.contains_key(header::EXPECT);
    let announced = parts.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: usize| length > bodies.limit) {
        let problem = too_large(bodies.limit as u64);
        let problem = if waits_for_consent { problem.closing() } else { drain(body, bodies.limit, problem).await };
        return problem.into_response();
    }
    match read(body, &bodies).await {
        // The memory is held until the answer is there.
        Ok((bytes, _memory)) => next.run(Request::from_parts(parts, Body::from(bytes))).await,
        Err(problem) => problem.into_response(),
    }
}

async fn read(mut body: Body, bodies: &Bodies) -> Result<(Bytes, Option<tokio::sync::OwnedSemaphorePermit>), Problem> {
    let mut bytes: Vec<u8> = Vec::new();
    let mut memory: Option<tokio::sync::OwnedSemaphorePermit> = None;
    while let Some(frame) = next_frame(&mut body).await? {
        if bytes.len() + frame.len() > bodies.limit {
            return Err(drain(body, bodies.limit, too_large(bodies.limit as u64)).await);
        }
        let permits = u32::try_from(frame.len().div_ceil(PERMIT_BYTES)).unwrap_or(u32::MAX);
        match (bodies.memory.clone().try_acquire_many_owned(permits), &mut memory) {
            (Ok(more), Some(held)) => held.merge(more),
            (Ok(first), none) => *none = Some(first),
            (Err(_), _) => return Err(Problem::new(Kind::Overloaded, "too many large bodies at once")),
        }
        bytes.extend_from_slice(&frame);
    }
    Ok((bytes.into(), memory))
}

/// The next part of a body; none at its end.
pub async fn next_frame(body: &mut Body) -> Result<Option<Bytes>, Problem> {
    match tokio::time::timeout(BODY_SILENCE, body.frame()).await {
        Ok(None) => Ok(None),
        Ok(Some(Ok(frame))) => Ok(Some(frame.into_data().unwrap_or_default())),
        Ok(Some(Err(_))) => Err(Problem::new(Kind::MalformedBody, "the body broke off, or is not packed as it says")),
        Err(_) => Err(Problem::new(Kind::SlowBody, "the client was silent for too long while it sent the body")),
    }
}

/// Reads a body to its end, or a few times the limit of it, and gives the answer back. What is left of a body ends the
/// connection with the answer, and the answer says so: whoever comes again must not come on this one.
pub async fn drain(mut body: Body, limit: usize, problem: Problem) -> Problem {
    let mut left = limit.saturating_mul(DRAINED);
    loop {
        let rest = match next_frame(&mut body).await {
            Ok(None) => return problem,
            Ok(Some(frame)) => left.checked_sub(frame.len()),
            Err(_) => None,
        };
        match rest {
            Some(rest) => left = rest,
            None => return problem.closing(),
        }
    }
}

/// The body is larger than it may be.
pub fn too_large(limit: u64) -> Problem {
    Problem::new(Kind::BodyTooLarge, format!("a body has at most {limit} bytes"))
}

#[cfg(test)]
mod tests;
