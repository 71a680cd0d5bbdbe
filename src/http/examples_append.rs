//! `POST /v1/learners/{learner}/examples`: labelled examples at the end of the stream, all of a request or none, unless it says
//! that the good ones are to be stored.
//!
//! The request is judged by its head first; then its body is taken in as it comes ([`super::examples_intake`]), and only when it is
//! whole are its examples stored ([`super::examples_commit`]).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;

use super::examples_answer::{Answer, Verdicts};
use super::examples_commit::{self, Order};
use super::examples_intake::{Refused, take_in};
use super::path::PathValues;
use super::problem::{Kind, Problem};
use super::query::{self, Query};
use super::state::AppState;
use super::unbroken::unbroken;
use super::upload::Upload;
use super::{ingest_counts, media_type};
use crate::stream::Existing;
use crate::stream::decode::{Format, Table};
use crate::stream::intake::{Faulty, Harvest, IntakeError, IntakeSettings, WantsDigest};
use crate::stream::spool::{PartSize, SpoolLimits};
use crate::training::LearnerRecord;

/// The longest idempotency key.
const MAX_KEY: usize = 200;

/// How much more room rows may take than the body that brings them: a digit and its comma may be four bytes of a float.
const ROOM_FOR_ROWS: u64 = 4;

/// What the head of a request says.
struct Head {
    format: Format,
    key: Option<String>,
    faulty: Faulty,
    existing: Existing,
}

/// Stores the examples; the answer comes when they are on disk.
pub async fn handle(
    State(state): State<AppState>,
    path: PathValues,
    query: Query,
    headers: HeaderMap,
    mut upload: Upload,
) -> Result<Json<Answer>, Problem> {
    let taken = match Head::read(&query, &headers) {
        Ok(head) => take(&state, &path, &head, &mut upload).await.map(|(learner, harvest)| (head, learner, harvest)),
        Err(problem) => Err(problem),
    };
    let (head, learner, harvest) = match taken {
        Ok(taken) => taken,
        Err(problem) => {
            return Err(upload.drain(problem).await);
        }
    };
    let ingest = &state.config.ingest;
    let is_json = head.format == Format::Json;
    let whole = PartSize { rows: u64::MAX, bytes: usize::MAX };
    let part = PartSize { rows: ingest.commit_examples as u64, bytes: ingest.commit_bytes };
    let verdicts = match (head.faulty, is_json) {
        (Faulty::RefuseAll, _) => Verdicts::None,
        (Faulty::RejectOne, true) => Verdicts::Each,
        (Faulty::RejectOne, false) => Verdicts::Rejected,
    };
    let order = Order {
        learner: learner.id,
        name: learner.document.name.clone(),
        key: head.key,
        existing: head.existing,
        size: if is_json { whole } else { part },
        activity: upload.activity(),
    };
    // What is written is counted, also when the client goes away meanwhile; and the memory is held until then.
    unbroken(tokio::spawn(async move {
        let stored = examples_commit::commit(&state, order, harvest).await;
        drop(upload);
        Ok(Json(Answer::of(stored?, verdicts)))
    }))
    .await
}

/// Takes in the body.
async fn take(
    state: &AppState,
    path: &PathValues,
    head: &Head,
    upload: &mut Upload,
) -> Result<(Arc<LearnerRecord>, Harvest), Problem> {
    let learner = path.known_learner(state).await?;
    let config = &state.config;
    let is_json = head.format == Format::Json;
    let spool = SpoolLimits {
        folder: config.spool_folder(),
        // A JSON document is one append, for which it must be in memory anyway.
        memory: if is_json { usize::MAX } else { config.ingest.spool_bytes },
        bytes: config.limits.stream_bytes.saturating_mul(ROOM_FOR_ROWS),
    };
    let settings = IntakeSettings {
        faulty: head.faulty,
        reported: config.limits.reported_faults,
        spool,
        digest: if head.key.is_some() { WantsDigest::Yes } else { WantsDigest::No },
    };
    match take_in(state, learner.clone(), (head.format.clone(), settings), upload).await {
        Ok(harvest) => Ok((learner, harvest)),
        Err(Refused::Other(problem)) => Err(problem),
        Err(Refused::Body(error)) => {
            if let IntakeError::Body(error) = &error {
                ingest_counts::invalid(state, &learner.document.name, error);
            }
            Err(error.into())
        }
    }
}

impl Head {
    fn read(query: &Query, headers: &HeaderMap) -> Result<Self, Problem> {
        let text = |name: &str| query.text(name).map(str::to_owned);
        let table = || Table { label: text("label"), id: text("id"), delimiter: None };
        let (format, known): (Format, &[&str]) = match media_type::of(headers).as_str() {
            media_type::JSON => (Format::Json, &["partial", "replace"]),
            media_type::NDJSON => (Format::Ndjson, &["partial", "replace"]),
            media_type::CSV => {
                let delimiter = query.text("delimiter").map(delimiter).transpose()?;
                (Format::Csv(Table { delimiter, ..table() }), &["partial", "replace", "label", "id", "delimiter"])
            }
            media_type::ARROW => (Format::Arrow(table()), &["partial", "replace", "label", "id"]),
            _ => {
                let known = [media_type::JSON, media_type::NDJSON, media_type::CSV, media_type::ARROW];
                return Err(media_type::unsupported(&known));
            }
        };
        query.only(known)?;
        let faulty = if query.flag("partial")? { Faulty::RejectOne } else { Faulty::RefuseAll };
        let existing = if query.flag("replace")? { Existing::Replace } else { Existing::Keep };
        Ok(Self { format, key: idempotency_key(headers)?, faulty, existing })
    }
}

fn delimiter(text: &str) -> Result<u8, Problem> {
    match text.as_bytes() {
        [one] if one.is_ascii() && !b"\"\r\n".contains(one) => Ok(*one),
        _ if text == "tab" => Ok(b'\t'),
        _ => Err(query::fault("delimiter", "must be one ASCII character, or `tab`")),
    }
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
