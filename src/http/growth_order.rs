//! `POST /v1/learners/{learner}/growth`: an operator's growth, or with `?dry_run=true` what it would do.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::time::Instant;

use super::growth_document::{self, OrderError};
use super::growth_preview::{self, growable_nodes};
use super::growth_view::{EventView, TicketView};
use super::path::PathValues;
use super::problem::{Kind, Problem};
use super::query::{self, Query};
use super::state::AppState;
use super::{document, media_type};
use crate::growth::Refusal;
use crate::stream::LearnerId;
use crate::training::{Change, Changes, GrowthOrder, GrowthTicket, LearnerRecord, TicketState};

/// Seconds that the answer waits for the growth if `wait` does not say.
const DEFAULT_WAIT: u64 = 60;

/// Seconds by which a wait must end before its request is given up.
const WAIT_MARGIN: u64 = 5;

/// The longest time between two looks at the order, should nobody tell that it is done.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Orders the growth and waits for it, up to `?wait=` seconds.
pub async fn handle(
    State(state): State<AppState>,
    path: PathValues,
    query: Query,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    query.only(&["dry_run", "wait"])?;
    let wait = wait(&query, state.config.limits.request_seconds)?;
    media_type::require_json(&headers)?;
    let document = document::json(&body)?;
    let record = path.learner(&state).await?;
    let order = match growth_document::parse(&document) {
        Ok(order) => order,
        Err(OrderError::NoSuchNode(node)) => {
            let network = growth_preview::network(&state, &record).await?;
            return Err(Refusal::UnknownNode { node, known: growable_nodes(&network) }.into());
        }
        Err(OrderError::Fault(fault)) => {
            return Err(Problem::new(Kind::InvalidGrowth, "the growth order is at fault; nothing was changed")
                .with_errors(vec![fault]));
        }
    };
    if query.flag("dry_run")? {
        return Ok(Json(growth_preview::preview(&state, &record, order).await?).into_response());
    }
    apply(&state, &record, &order, wait).await
}

fn wait(query: &Query, request_seconds: u64) -> Result<Duration, Problem> {
    let most = request_seconds.saturating_sub(WAIT_MARGIN);
    match query.number("wait")? {
        Some(seconds) if seconds > most => Err(query::fault("wait", &format!("must be at most {most}"))),
        wait => Ok(Duration::from_secs(wait.unwrap_or(DEFAULT_WAIT).min(most))),
    }
}

async fn apply(
    state: &AppState,
    record: &LearnerRecord,
    order: &GrowthOrder,
    wait: Duration,
) -> Result<Response, Problem> {
    let until = Instant::now() + wait;
    // Followed before the order is there: whichever process does it, its end is heard.
    let mut changes = state.store.changes();
    let mut ticket = state.store.order_growth(record.id, order).await?;
    while ticket.state == TicketState::Planned && !state.is_stopping() {
        let now = Instant::now();
        if now >= until {
            break;
        }
        let told = told_of_orders(&mut changes, record.id);
        // Told or not, the store says how it stands.
        tokio::time::timeout(LOOK_AGAIN.min(until - now), told).await.unwrap_or_default();
        ticket = state.store.ticket(record.id, ticket.id).await?.ok_or_else(Problem::learner_not_found)?;
    }
    answer(state, record, ticket).await
}

/// Waits until something is told of a learner's orders.
async fn told_of_orders(changes: &mut Changes, learner: LearnerId) {
    loop {
        match changes.next().await {
            Some(Change::Missed) => return,
            Some(change) if change == Change::Order(learner) => return,
            Some(_) => {}
            // The store is closed: there is nothing more to hear.
            None => std::future::pending().await,
        }
    }
}

async fn answer(state: &AppState, record: &LearnerRecord, ticket: GrowthTicket) -> Result<Response, Problem> {
    let name = &record.document.name;
    match ticket.state {
        TicketState::Applied => {
            let event = ticket.event.ok_or_else(|| Problem::internal(&"an applied order has no event"))?;
            // Whoever reads this answer may predict by the grown network: it is brought in first. If that fails, the
            // version before it answers, which computes the same.
            if let Err(error) = state.predictor.load_live(record.id, name).await {
                tracing::warn!(learner = %name, %error, "the grown network is not served yet");
            }
            Ok(Json(EventView::of(&event)).into_response())
        }
        TicketState::Refused => match ticket.refusal {
            Some(refusal) => Err(refusal.into()),
            None => Err(Problem::internal(&"a refused order has no refusal")),
        },
        TicketState::Failed => {
            Err(Problem::new(Kind::GrowthFailed, "the growth broke and changed nothing; the log says why"))
        }
        TicketState::Planned => {
            let location = format!("/v1/learners/{name}/growth/{}", ticket.id);
            let view = TicketView::from(ticket);
            Ok((StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(view)).into_response())
        }
    }
}
