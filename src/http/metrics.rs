//! The page for Prometheus.

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;

use super::state::AppState;
use crate::metrics::Metrics;
use crate::training::Store;

/// Every metric in the text format.
pub async fn handle(State(state): State<AppState>) -> impl IntoResponse {
    page(&*state.store, &state.metrics)
}

/// The page of a process on this store.
pub fn page(store: &dyn Store, metrics: &Metrics) -> impl IntoResponse + use<> {
    let (used, idle) = store.connections();
    let connections = &metrics.store.connections;
    connections.with_label_values(&["used"]).set(i64::from(used));
    connections.with_label_values(&["idle"]).set(i64::from(idle));
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.render())
}
