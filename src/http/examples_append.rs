//! `POST /v1/learners/{learner}/examples`: labelled examples at the end of the stream, all of a request or none.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use sha2::{Digest, Sha256};

use super::decoding::decoded;
use super::path::PathValues;
use super::problem::{Kind, Problem};
use super::query::Query;
use super::state::AppState;
use super::unbroken::unbroken;
use super::{ingest_counts, media_type};
use crate::stream::decode::{self, DecodeError, Expected};
use crate::stream::{Append, Appended, Existing, IdempotencyKey};
use crate::training::LearnerRecord;

/// The longest idempotency key.
const MAX_KEY: usize = 200;

/// The body formats of examples.
#[derive(Clone, Copy)]
enum Format {
    Json,
    Ndjson,
}

/// Stores the examples; the answer comes when they are on disk.
pub async fn handle(
    State(state): State<AppState>,
    path: PathValues,
    query: Query,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Appended>, Problem> {
    query.only(&[])?;
    let format = match media_type::of(&headers).as_str() {
        media_type::JSON => Format::Json,
        media_type::NDJSON => Format::Ndjson,
        _ => return Err(media_type::unsupported(&[media_type::JSON, media_type::NDJSON])),
    };
    let key = idempotency_key(&headers)?;
    let learner = path.known_learner(&state).await?;
    let max_rows = state.config.limits.examples;
    let bytes = body.len();
    let decode = move |learner: &LearnerRecord| request(learner, &body, format, max_rows, key.clone());
    let request = match decoded(&state, &learner, bytes, decode).await? {
        Ok(request) => request,
        Err(error) => {
            ingest_counts::invalid(&state, &learner.document.name, &error);
            return Err(error.into());
        }
    };
    // What is written is counted, also when the client goes away meanwhile.
    unbroken(tokio::spawn(async move {
        let examples = request.examples.len();
        let outcome = state.writer.write(request).await;
        ingest_counts::written(&state, &learner.document.name, examples, &outcome);
        Ok(Json(outcome?.without_outcomes()))
    }))
    .await
}

/// The request for the writer: decoding and hashing, off the runtime.
fn request(
    learner: &LearnerRecord,
    body: &[u8],
    format: Format,
    max_rows: usize,
    key: Option<String>,
) -> Result<Append, DecodeError> {
    let expected = Expected { schema: &learner.document.schema, task: &learner.document.task, max_rows };
    let examples = match format {
        Format::Json => decode::examples_json(body, expected)?,
        Format::Ndjson => decode::examples_ndjson(body, expected)?,
    };
    let key = key.map(|key| IdempotencyKey { key, body: Sha256::digest(body).into() });
    Ok(Append { learner: learner.id, key, existing: Existing::Keep, examples })
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all("idempotency-key").iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return match headers.contains_key("idempotency-key") {
            true => Err(Problem::new(Kind::InvalidHeader, "`idempotency-key` stands twice")),
            false => Ok(None),
        };
    };
    match value.to_str() {
        Ok(key) if (1..=MAX_KEY).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Ok(Some(key.to_owned()))
        }
        _ => Err(Problem::new(
            Kind::InvalidHeader,
            format!("`idempotency-key` must have 1 to {MAX_KEY} visible ASCII characters"),
        )),
    }
}
