//! Probes. Live: the process answers. Ready: it can predict. Neither asks the database: predictions do not need it.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::problem::{Kind, Problem};
use super::state::AppState;

/// Whether the process answers at all.
pub async fn livez() -> Json<Value> {
    Json(json!({"live": true}))
}

/// Whether it can predict: the learners were loaded, at least one of them answers (if there are any), and the server is
/// not stopping.
pub async fn readyz(State(state): State<AppState>) -> Result<Json<Value>, Problem> {
    let learners = state.directory.all();
    let serving = learners.iter().filter(|record| state.predictor.serving(record.id).is_some()).count();
    let counts = json!({"learners": learners.len(), "serving": serving});
    let refusal = if state.is_stopping() {
        Some(Problem::new(Kind::Stopping, "the server is stopping"))
    } else if !state.is_loaded() {
        Some(Problem::new(Kind::NotReady, "the learners are being loaded"))
    } else if serving == 0 && !learners.is_empty() {
        Some(Problem::new(Kind::NotReady, "no learner could be loaded"))
    } else {
        None
    };
    match refusal {
        Some(problem) => Err(problem.with_member("checks", counts)),
        None => Ok(Json(json!({"ready": true, "checks": counts}))),
    }
}
