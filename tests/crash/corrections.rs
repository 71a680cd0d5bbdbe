//! The client that replaces and deletes examples, one thing after the other.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::dice::Dice;
use crate::drafts::Request;
use crate::learners::Subject;
use crate::process::{Gone, Server};
use crate::shared::{Database, Shared};

/// Posts, replaces and deletes until the server is gone.
pub async fn run(shared: &Shared, server: &Server, mut dice: Dice) -> Result<(), Gone> {
    while shared.goes_on() {
        let request = shared.drafts().next(&mut dice);
        if request.is_correction {
            shared.corrections.fetch_add(1, Ordering::Relaxed);
        }
        send(shared, server, request).await?;
        tokio::time::sleep(Duration::from_millis(20 + dice.below(130))).await;
    }
    Ok(())
}

/// Sends again what nobody knows the outcome of.
pub async fn resolve(shared: &Shared, server: &Server) -> Result<(), Gone> {
    let open = shared.drafts().open();
    match open {
        Some(request) => send(shared, server, request).await,
        None => Ok(()),
    }
}

/// What gets no answer stays open, and is what is sent next.
async fn send(shared: &Shared, server: &Server, request: Request) -> Result<(), Gone> {
    let Request { method, path, body, key, .. } = request;
    let path = format!("/v1/learners/{}/examples{path}", Subject::Drafts.name());
    let database = shared.facts().database;
    let (status, answer) = server.send_keyed(method, &path, body.as_ref(), key.as_deref()).await?;
    if status == 429 || shared.is_excused(status) {
        return Ok(());
    }
    let outcome = shared.drafts().answered(status, &answer);
    outcome.unwrap_or_else(|fault| shared.fault(fault));
    if database == Database::Back {
        *shared.facts().taken_again.entry(Subject::Drafts).or_default() += 1;
    }
    Ok(())
}
