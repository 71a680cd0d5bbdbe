//! The page for Prometheus.

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;

use super::state::AppState;

/// Every metric in the text format.
pub async fn handle(State(state): State<AppState>) -> impl IntoResponse {
    let (used, idle) = state.store.connections();
    let connections = &state.metrics.store.connections;
    connections.with_label_values(&["used"]).set(i64::from(used));
    connections.with_label_values(&["idle"]).set(i64::from(idle));
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], state.metrics.render())
}
