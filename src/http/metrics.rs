//! The page for Prometheus.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;

use super::state::AppState;
use crate::metrics::Metrics;
use crate::registry::AliasName;
use crate::stream::LearnerId;
use crate::training::Store;

/// How long the store may take to say what is pinned; after that the page shows what was known before.
const PATIENCE: Duration = Duration::from_secs(1);

/// Every metric in the text format.
pub async fn handle(State(state): State<AppState>) -> impl IntoResponse {
    show_pins(&state).await;
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

/// Asks the store what is pinned, so that the page is right whichever process pinned it.
async fn show_pins(state: &AppState) {
    let Ok(Ok(pinned)) = tokio::time::timeout(PATIENCE, state.store.pinned_aliases()).await else { return };
    let learners = state.directory.all();
    let named = |(learner, alias): (LearnerId, AliasName)| {
        let record = learners.iter().find(|record| record.id == learner)?;
        Some((record.document.name.to_string(), alias.to_string()))
    };
    let pinned: BTreeSet<(String, String)> = pinned.into_iter().filter_map(named).collect();
    let names: Vec<&str> = learners.iter().map(|record| record.document.name.as_str()).collect();
    state.metrics.registry.show_pins(&names, &pinned);
}
