//! A worker is stopped for longer than its lease, as by a machine that sleeps, and goes on.

use rustix::process::Signal;

use super::client::{ask, check, document, examples, rests, until};
use super::postgres::{self, Database};
use super::process::{Part, Place};

const ROWS: u64 = 3_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_was_stopped_past_its_lease_is_replaced_and_writes_nothing_more() {
    let Some(server) = postgres::shared() else { return };
    let _turn = super::ONE_AT_A_TIME.lock().await;
    let database = Database::new(server);
    let servers = [Place::start(Part::Server, &database.url())];
    let workers: Vec<Place> = (0..2).map(|_| Place::start(Part::Worker, &database.url())).collect();
    ask(&servers, 0, "POST", "/v1/learners", Some(&document(20))).await;
    let post = async |first: u64| {
        let body = examples(first, first + ROWS / 3 - 1);
        ask(&servers, 0, "POST", &format!("/v1/learners/{}/examples", super::client::LEARNER), Some(&body)).await;
    };
    post(1).await;
    let held = until(&servers, |learner| learner["training"]["holder"].is_string()).await;
    let holder = held["training"]["holder"].as_str().expect("a holder").to_owned();
    // host/process/what tells it from all others
    let pid: u32 = holder.split('/').rev().nth(1).and_then(|pid| pid.parse().ok()).expect("a process number");
    let stopped = workers.iter().find(|worker| worker.pid() == pid).expect("one of the workers holds it");
    stopped.signal(Signal::STOP);
    post(1 + ROWS / 3).await;
    let other = |learner: &serde_json::Value| {
        learner["training"]["holder"].as_str().is_some_and(|name| name != holder)
            || (rests(learner) && learner["training"]["holder"].is_null())
    };
    until(&servers, other).await;
    // What it was in the middle of it would write now: under a fence that is old.
    stopped.signal(Signal::CONT);
    post(1 + 2 * (ROWS / 3)).await;
    until(&servers, rests).await;
    check(&database.url(), ROWS).await;
}
