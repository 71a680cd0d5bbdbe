//! `POST /v1/learners/{learner}/predict`: answers from one version.

use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::decoding::decoded;
use super::media_type;
use super::path::PathValues;
use super::problem::{Kind, Problem};
use super::query::{self, Query};
use super::state::AppState;
use crate::registry::{AliasName, VersionId};
use crate::serving::{Answer, Prediction, VersionChoice};
use crate::stream::decode::{self, Expected};
use crate::training::LearnerRecord;

/// What a request says of the version that is to answer.
#[derive(Debug, PartialEq)]
enum Named {
    Version(VersionId),
    Alias(AliasName),
}

/// The answers to a request.
#[derive(Serialize)]
pub struct Answers {
    version: VersionId,
    predictions: Vec<PredictionView>,
}

#[derive(Debug, PartialEq, Serialize)]
#[serde(untagged)]
enum PredictionView {
    Class { label: Option<String>, probabilities: Probabilities },
    Number { value: f64 },
}

/// Probabilities by class, in order of the version's classes.
#[derive(Debug, PartialEq)]
struct Probabilities(Vec<(String, f32)>);

/// Predicts by `live`, or by the version that the body or `?version=` names, by number or alias.
pub async fn handle(
    State(state): State<AppState>,
    path: PathValues,
    query: Query,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Answers>, Problem> {
    let deadline = Instant::now() + Duration::from_millis(state.config.serving.deadline_ms);
    query.only(&["version", "top"])?;
    media_type::require_json(&headers)?;
    let top = match query.number("top")? {
        Some(0) => return Err(query::fault("top", "must be at least 1")),
        top => top.map_or(usize::MAX, |top| usize::try_from(top).unwrap_or(usize::MAX)),
    };
    let by_query = query.text("version").map(named_by_text).transpose()?;
    let learner = path.known_learner(&state).await?;
    let max_rows = state.config.limits.predict_rows;
    let bytes = body.len();
    let read = move |learner: &LearnerRecord| {
        let expected = Expected { schema: &learner.document.schema, task: &learner.document.task, max_rows };
        decode::predict_json(&body, expected)
    };
    let decoded = decoded(&state, &learner, bytes, read).await??;
    let by_body = decoded.version.as_ref().map(named_by_value).transpose()?;
    let named = match (by_query, by_body) {
        (Some(query), Some(body)) if query != body => {
            return Err(query::fault("version", "names another version than the body"));
        }
        (query, body) => query.or(body),
    };
    let choice = match named {
        None => VersionChoice::Live,
        Some(Named::Alias(alias)) if alias.is_live() => VersionChoice::Live,
        Some(Named::Alias(alias)) => VersionChoice::Version(state.predictor.resolve(learner.id, &alias).await?),
        Some(Named::Version(version)) => VersionChoice::Version(version),
    };
    let answer = state.predictor.predict(learner.id, choice, decoded.rows, deadline).await?;
    Ok(Json(view(answer, top)))
}

fn named_by_text(text: &str) -> Result<Named, Problem> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number beyond every version is one that the learner does not have.
        let version = text.parse().ok().filter(|&number| i64::try_from(number).is_ok());
        return version.map(|number| Named::Version(VersionId(number))).ok_or_else(unknown_version);
    }
    AliasName::parse(text).map(Named::Alias).ok_or_else(Problem::alias_not_found)
}

fn named_by_value(value: &Value) -> Result<Named, Problem> {
    match value {
        Value::String(text) => named_by_text(text),
        Value::Number(number) if number.is_u64() => named_by_text(&number.to_string()),
        _ => Err(Problem::new(Kind::InvalidRows, "the version makes no sense")
            .at("/version", "must be a version's number or an alias")),
    }
}

fn unknown_version() -> Problem {
    Problem::new(Kind::VersionNotFound, "the learner has no such version")
}

fn view(answer: Answer, top: usize) -> Answers {
    let classes = &answer.classes;
    let predictions = answer
        .predictions
        .into_iter()
        .map(|prediction| match prediction {
            Prediction::Number(value) => PredictionView::Number { value },
            Prediction::Classes(probabilities) => classification(classes, &probabilities, top),
        })
        .collect();
    Answers { version: answer.version, predictions }
}

/// The most probable class (the first among equals) and the `top` most probable ones in order of the classes.
fn classification(classes: &[String], probabilities: &[f32], top: usize) -> PredictionView {
    let mut ranked: Vec<usize> = (0..classes.len().min(probabilities.len())).collect();
    ranked.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]).then(a.cmp(&b)));
    let label = ranked.first().map(|&best| classes[best].clone());
    ranked.truncate(top);
    ranked.sort_unstable();
    let shown = ranked.into_iter().map(|class| (classes[class].clone(), probabilities[class])).collect();
    PredictionView::Class { label, probabilities: Probabilities(shown) }
}

impl Serialize for Probabilities {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (class, probability) in &self.0 {
            map.serialize_entry(class, probability)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn classes() -> Vec<String> {
        ["zebra", "ant", "mule"].map(String::from).to_vec()
    }

    #[test]
    fn classes_stand_in_the_order_of_the_version() {
        let view = classification(&classes(), &[0.25, 0.5, 0.25], usize::MAX);
        let text = serde_json::to_string(&view).unwrap();
        assert_eq!(text, r#"{"label":"ant","probabilities":{"zebra":0.25,"ant":0.5,"mule":0.25}}"#);
    }

    #[test]
    fn top_keeps_the_most_probable_and_the_first_among_equals() {
        let view = classification(&classes(), &[0.25, 0.5, 0.25], 2);
        let kept = vec![("zebra".to_owned(), 0.25), ("ant".to_owned(), 0.5)];
        assert_eq!(view, PredictionView::Class { label: Some("ant".into()), probabilities: Probabilities(kept) });
    }

    #[test]
    fn a_version_is_a_number_or_an_alias() {
        assert_eq!(named_by_text("live").unwrap(), Named::Alias(AliasName::live()));
        assert_eq!(named_by_value(&json!(3)).unwrap(), Named::Version(VersionId(3)));
        assert_eq!(named_by_value(&json!("newest")).unwrap(), Named::Alias(AliasName::parse("newest").unwrap()));
        assert_eq!(named_by_value(&json!("New est")).unwrap_err().kind(), Kind::AliasNotFound);
        assert_eq!(named_by_value(&json!(-1)).unwrap_err().kind(), Kind::InvalidRows);
        assert_eq!(named_by_value(&json!(1.5)).unwrap_err().kind(), Kind::InvalidRows);
        assert_eq!(named_by_text("99999999999999999999999").unwrap_err().kind(), Kind::VersionNotFound);
    }
}
