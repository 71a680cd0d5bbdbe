//! `GET /v1/learners/{learner}/growth`: growths, refusals and decisions, from the journal.

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::growth_view::{DecisionView, EventView, RefusalView};
use super::path::PathValues;
use super::problem::Problem;
use super::query::Query;
use super::state::AppState;
use crate::training::{JournalEvent, JournalRecord};

/// A page of each list.
#[derive(Serialize)]
pub struct History {
    events: Vec<EventView>,
    decisions: Vec<DecisionView>,
    refusals: Vec<RefusalView>,
    next_after: NextAfter,
}

/// Where the next page of each list begins; null for a list that ended.
#[derive(Serialize)]
struct NextAfter {
    events: Option<u64>,
    decisions: Option<u64>,
    refusals: Option<u64>,
}

/// Each list after the journal position `after`, at most `limit`.
pub async fn handle(State(state): State<AppState>, path: PathValues, query: Query) -> Result<Json<History>, Problem> {
    query.only(&["limit", "after"])?;
    let (limit, after) = (query.limit()?, query.number("after")?.unwrap_or(0));
    let learner = path.known_learner(&state).await?.id;
    let grown = state.store.journal(learner, after, &["grown"], limit).await?;
    let decided = state.store.journal(learner, after, &["decided"], limit).await?;
    let refused = state.store.journal(learner, after, &["refused"], limit).await?;
    let next = |page: &[JournalRecord]| page.last().filter(|_| page.len() == limit).map(|record| record.position);
    let next_after = NextAfter { events: next(&grown), decisions: next(&decided), refusals: next(&refused) };
    Ok(Json(History {
        events: grown.into_iter().filter_map(event).collect(),
        decisions: decided.into_iter().filter_map(decision).collect(),
        refusals: refused.into_iter().filter_map(refusal).collect(),
        next_after,
    }))
}

fn event(record: JournalRecord) -> Option<EventView> {
    match record.event {
        JournalEvent::Grown(event) => Some(EventView::of(&event).in_journal(record.position, record.at)),
        _ => None,
    }
}

fn decision(record: JournalRecord) -> Option<DecisionView> {
    match record.event {
        JournalEvent::Decided { seq, decision } => {
            Some(DecisionView { position: record.position, at: record.at, seq, decision })
        }
        _ => None,
    }
}

fn refusal(record: JournalRecord) -> Option<RefusalView> {
    match record.event {
        JournalEvent::Refused { seq, op, trigger, ticket, refusal } => Some(RefusalView {
            position: record.position,
            at: record.at,
            seq,
            op,
            trigger,
            ticket,
            detail: refusal.to_string(),
            refusal,
        }),
        _ => None,
    }
}
