//! The HTTP surface: the router shows the whole API on one screen, every action has a file of its own.
//!
//! Every answer that is no success is a problem document (RFC 9457) made in [`problem`], the only place that knows
//! status codes of failures. Limits, timeouts and request ids are layers in [`middleware`], the only place for those.

mod activity;
mod alias_change;
mod alias_request;
mod alias_view;
mod aliases_delete;
mod aliases_history;
mod aliases_list;
mod aliases_pin;
mod aliases_set;
mod aliases_show;
mod decoding;
mod directory;
mod document;
mod encoding;
mod examples_answer;
mod examples_append;
mod examples_commit;
mod examples_delete;
mod examples_intake;
mod examples_read;
mod following;
pub mod growth_document;
mod growth_history;
mod growth_inputs;
mod growth_order;
mod growth_preview;
mod growth_ticket;
pub mod growth_view;
mod health;
mod ingest_counts;
mod learner_view;
mod learners_create;
mod learners_delete;
mod learners_list;
mod learners_patch;
mod learners_show;
mod media_type;
mod metrics;
mod middleware;
mod path;
mod predict;
pub mod problem;
mod query;
mod rollback;
mod router;
mod serve;
mod standing;
mod state;
mod unbroken;
mod upload;
mod version_view;
mod versions_lineage;
mod versions_list;
mod versions_show;
mod versions_weights;
mod worker;

pub use router::router;
pub use serve::{serve, serve_worker};
pub use state::{AppState, Services};
pub use worker::WorkerState;
