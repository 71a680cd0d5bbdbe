//! Every layer answers with a problem document.

use std::convert::Infallible;

use axum::http::StatusCode;
use axum::routing::{get, post};
use futures_util::{StreamExt, stream};
use serde_json::Value;
use tokio::sync::Notify;
use tower::ServiceExt;

use super::*;
use crate::http::upload::Upload;
use crate::metrics::Metrics;

struct Fixture {
    metrics: Metrics,
    entered: Arc<Notify>,
    leave: Arc<Notify>,
    limits: LimitsConfig,
}

fn fixture() -> Fixture {
    let limits = LimitsConfig { body_bytes: 1_000, concurrency: 1, ..LimitsConfig::default() };
    Fixture { metrics: Metrics::new(), entered: Arc::default(), leave: Arc::default(), limits }
}

impl Fixture {
    fn router(&self) -> Router {
        let (entered, leave) = (self.entered.clone(), self.leave.clone());
        let wait = async move || {
            entered.notify_one();
            leave.notified().await;
            "done"
        };
        let api = Router::new()
            .route("/echo/{name}", post(async |body: Bytes| body))
            .route("/panic", get(async || -> &'static str { panic!("a secret") }))
            .route("/wait", get(wait));
        let probe = Router::new().route("/probe", get(async || "alive"));
        let uploads = Router::new().route("/upload", post(length));
        observed(limited(api, uploads, &self.limits).merge(probe), &self.metrics.http)
    }
}

/// Reads an upload to its end.
async fn length(mut upload: Upload) -> Result<String, Problem> {
    let mut length = 0;
    loop {
        let piece = upload.next(1_000).await?;
        length += piece.len();
        if piece.is_last {
            return Ok(length.to_string());
        }
    }
}

fn request(method: &str, path: &str, body: Body) -> Request {
    Request::builder().method(method).uri(path).body(body).unwrap()
}

async fn code(response: Response) -> String {
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let document: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(document["request_id"], id);
    assert!(!document.to_string().contains("secret"));
    document["code"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_plain_request_id_comes_back_and_an_evil_one_does_not() {
    let fixture = fixture();
    for (id, kept) in [("abc-123", true), ("a b", false), ("", false), ("<script>", false), (&*"x".repeat(200), false)]
    {
        let mut request = request("GET", "/probe", Body::empty());
        request.headers_mut().insert("x-request-id", HeaderValue::from_str(id).unwrap());
        let response = fixture.router().oneshot(request).await.unwrap();
        let answered = response.headers()["x-request-id"].to_str().unwrap();
        assert_eq!(answered == id, kept, "{id:?} became {answered:?}");
        assert!(answered.len() <= 128 && !answered.is_empty());
    }
}

#[tokio::test]
async fn a_panic_is_a_problem_that_tells_nothing() {
    let response = fixture().router().oneshot(request("GET", "/panic", Body::empty())).await.unwrap();
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(code(response).await, "internal");
}

#[tokio::test]
async fn a_body_within_the_limit_arrives_whole() {
    let parts = (0..10).map(|_| Ok::<_, Infallible>(Bytes::from(vec![7; 100])));
    let body = Body::from_stream(stream::iter(parts));
    let response = fixture().router().oneshot(request("POST", "/echo/a", body)).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), vec![7; 1_000]);
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused_with_and_without_its_length() {
    let streamed = (0..11).map(|_| Ok::<_, Infallible>(Bytes::from(vec![7; 100])));
    let mut announced = request("POST", "/echo/a", Body::from(vec![7; 1_001]));
    announced.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from_static("1001"));
    for request in [announced, request("POST", "/echo/a", Body::from_stream(stream::iter(streamed)))] {
        let response = fixture().router().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(code(response).await, "body_too_large");
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_refused() {
    let parts = [Ok(Bytes::from_static(b"half")), Err(std::io::Error::other("gone"))];
    let body = Body::from_stream(stream::iter(parts));
    let response = fixture().router().oneshot(request("POST", "/echo/a", body)).await.unwrap();
    assert_eq!(code(response).await, "malformed_body");
}

#[tokio::test]
async fn an_upload_that_stops_coming_is_given_up_and_one_that_comes_is_not() {
    let mut fixture = fixture();
    // What is there is taken; whatever must be waited for comes too late.
    fixture.limits.request_seconds = 0;
    let half = || stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"half"))]);
    let whole = request("POST", "/upload", Body::from_stream(half().chain(half())));
    let response = fixture.router().oneshot(whole).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "8");
    let stops = request("POST", "/upload", Body::from_stream(half().chain(stream::pending())));
    let response = fixture.router().oneshot(stops).await.unwrap();
    assert_eq!(response.status(), StatusCode::REQUEST_TIMEOUT);
    assert_eq!(code(response).await, "slow_body");
}

#[tokio::test]
async fn too_many_requests_are_shed_while_probes_answer() {
    let fixture = fixture();
    let router = fixture.router();
    let first = tokio::spawn(router.clone().oneshot(request("GET", "/wait", Body::empty())));
    fixture.entered.notified().await;

    let shed = router.clone().oneshot(request("POST", "/echo/a", Body::empty())).await.unwrap();
    assert_eq!(shed.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(shed.headers()["retry-after"], "1");
    assert_eq!(code(shed).await, "overloaded");
    let probe = router.clone().oneshot(request("GET", "/probe", Body::empty())).await.unwrap();
    assert_eq!(probe.status(), StatusCode::OK);

    fixture.leave.notify_one();
    assert_eq!(first.await.unwrap().unwrap().status(), StatusCode::OK);
    let next = router.oneshot(request("POST", "/echo/a", Body::empty())).await.unwrap();
    assert_eq!(next.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_given_up() {
    let mut fixture = fixture();
    fixture.limits.request_seconds = 0;
    let response = fixture.router().oneshot(request("GET", "/wait", Body::empty())).await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(code(response).await, "timeout");
}

#[tokio::test]
async fn requests_are_counted_by_route_and_never_by_path() {
    let fixture = fixture();
    for path in ["/echo/a", "/echo/b"] {
        fixture.router().oneshot(request("POST", path, Body::empty())).await.unwrap();
    }
    fixture.router().oneshot(request("EVIL", "/nowhere", Body::empty())).await.unwrap();
    let requests = &fixture.metrics.http.requests;
    assert_eq!(requests.with_label_values(&["/echo/{name}", "POST", "200"]).get(), 2);
    assert_eq!(requests.with_label_values(&["unmatched", "other", "404"]).get(), 1);
    assert_eq!(fixture.metrics.http.in_flight.get(), 0);
}
