//! The whole API on one screen.

use axum::Router;
use axum::routing::{delete, get, post};

use super::problem::{Kind, Problem};
use super::state::AppState;
use super::{
    aliases_delete, aliases_history, aliases_list, aliases_pin, aliases_set, aliases_show, examples_append,
    examples_delete, examples_read, growth_history, growth_order, growth_ticket, health, learners_create,
    learners_delete, learners_list, learners_patch, learners_show, metrics, middleware, predict, rollback,
    versions_lineage, versions_list, versions_show, versions_weights,
};

/// The server's surface.
pub fn router(state: AppState) -> Router {
    let api = Router::new()
        .route("/v1/learners", post(learners_create::handle).get(learners_list::handle))
        .route(
            "/v1/learners/{learner}",
            get(learners_show::handle).patch(learners_patch::handle).delete(learners_delete::handle),
        )
        .route("/v1/learners/{learner}/examples", get(examples_read::handle).delete(examples_delete::by_seq))
        .route("/v1/learners/{learner}/examples/{id}", delete(examples_delete::by_id))
        .route("/v1/learners/{learner}/predict", post(predict::handle))
        .route("/v1/learners/{learner}/growth", post(growth_order::handle).get(growth_history::handle))
        .route("/v1/learners/{learner}/growth/{id}", get(growth_ticket::handle))
        .route("/v1/learners/{learner}/rollback", post(rollback::handle))
        .route("/v1/learners/{learner}/aliases", get(aliases_list::handle))
        .route(
            "/v1/learners/{learner}/aliases/{alias}",
            get(aliases_show::handle).put(aliases_set::handle).delete(aliases_delete::handle),
        )
        .route("/v1/learners/{learner}/aliases/{alias}/history", get(aliases_history::handle))
        .route("/v1/learners/{learner}/aliases/{alias}/pin", post(aliases_pin::pin))
        .route("/v1/learners/{learner}/aliases/{alias}/unpin", post(aliases_pin::unpin))
        .route("/v1/learners/{learner}/versions", get(versions_list::handle))
        .route("/v1/learners/{learner}/versions/{version}", get(versions_show::handle))
        .route("/v1/learners/{learner}/versions/{version}/lineage", get(versions_lineage::handle))
        .route("/v1/learners/{learner}/versions/{version}/weights", get(versions_weights::handle));

    // Bodies of any length, which their actions read as they come.
    let uploads = Router::new().route("/v1/learners/{learner}/examples", post(examples_append::handle));

    // An overloaded server must still be able to say that it lives.
    let probes = Router::new()
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(metrics::handle));

    let all = middleware::limited(api, uploads, &state.config.limits)
        .merge(probes)
        .method_not_allowed_fallback(async || {
            Problem::new(Kind::MethodNotAllowed, "this path does not take this method; `Allow` lists those it takes")
        })
        .fallback(async || Problem::new(Kind::NotFound, "there is nothing at this path"));
    middleware::observed(all, &state.metrics.http).with_state(state)
}
