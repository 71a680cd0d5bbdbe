//! Any process of a fleet is killed under load.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::client::{
    LEARNER, PATIENCE, ask, check, client, document, examples, inputs, rests, send, stored_ids, until,
};
use super::postgres::{self, Database};
use super::process::{Part, Place};

/// Rows of the stream, and of one request.
const ROWS: u64 = 4_000;
const BATCH: u64 = 20;

/// How long after its commit every server must serve a version: a second, and what a busy small machine needs.
const SERVED_WITHIN: Duration = Duration::from_secs(5);

/// Three servers.
type Servers = Arc<Vec<Place>>;

/// Posts the whole stream, each batch to the next server, until it is acknowledged.
async fn ingest(servers: Servers, acknowledged: Arc<AtomicU64>) {
    let path = format!("/v1/learners/{LEARNER}/examples");
    for (number, first) in (1..=ROWS).step_by(BATCH as usize).enumerate() {
        let body = examples(first, first + BATCH - 1);
        ask(&servers, number, "POST", &path, Some(&body)).await;
        acknowledged.store(first + BATCH - 1, Ordering::Relaxed);
    }
}

/// Predicts on one server again and again; what failed although that server lived.
async fn predict(servers: Servers, number: usize, end: Arc<AtomicBool>) -> (u64, Vec<String>) {
    let http = client();
    let body = json!({"inputs": [inputs(number as u64)]});
    let (mut answered, mut faults) = (0, Vec::new());
    while !end.load(Ordering::Relaxed) {
        let before = servers[number].url();
        if let Some(url) = &before {
            let answer = send(&http, &format!("{url}/v1/learners/{LEARNER}/predict"), "POST", Some(&body)).await;
            match answer {
                Ok((200, _)) => answered += 1,
                // Killed meanwhile: another process stands there now, or none.
                _ if servers[number].url() != before => {}
                Ok((status, problem)) => faults.push(format!("{status} {problem}")),
                Err(error) => faults.push(format!("{error:?}")),
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    (answered, faults)
}

#[tokio::test(flavor = "multi_thread")]
async fn any_process_of_a_fleet_may_be_killed_under_load() {
    let Some(server) = postgres::shared() else { return };
    let _turn = super::ONE_AT_A_TIME.lock().await;
    let database = Database::new(server);
    let servers: Servers = Arc::new((0..3).map(|_| Place::start(Part::Server, &database.url())).collect());
    let workers: Vec<Place> = (0..2).map(|_| Place::start(Part::Worker, &database.url())).collect();
    // Created on one server, known to the next at once.
    ask(&servers, 0, "POST", "/v1/learners", Some(&document(1))).await;
    for number in 0..3 {
        let url = servers[number].url().expect("it runs");
        let body = json!({"inputs": [inputs(1)]});
        let path = format!("{url}/v1/learners/{LEARNER}/predict");
        let (status, answer) = send(&client(), &path, "POST", Some(&body)).await.expect("an answer");
        assert_eq!(status, 200, "{answer}");
    }

    let acknowledged = Arc::new(AtomicU64::new(0));
    let end = Arc::new(AtomicBool::new(false));
    let predictions: Vec<_> =
        (0..3).map(|number| tokio::spawn(predict(servers.clone(), number, end.clone()))).collect();
    let ingest = tokio::spawn(ingest(servers.clone(), acknowledged.clone()));
    let victims = [&servers[0], &workers[0], &servers[1], &workers[1], &servers[2], &workers[0]];
    for (kill, victim) in victims.into_iter().enumerate() {
        // In the middle of the stream, each a little later than the one before.
        let at = ROWS * (kill as u64 + 1) / (victims.len() as u64 + 1);
        reaches(&acknowledged, at).await;
        victim.kill();
        reaches(&acknowledged, (at + ROWS / 20).min(ROWS)).await;
        tokio::task::block_in_place(|| victim.restart());
    }
    ingest.await.expect("every row is acknowledged in the end");
    until(&servers, rests).await;
    for number in 0..3 {
        growth_asked_of(&servers, number).await;
    }
    until(&servers, rests).await;
    end.store(true, Ordering::Relaxed);
    for prediction in predictions {
        let (answered, faults) = prediction.await.expect("it does not panic");
        assert!(answered > 0 && faults.is_empty(), "{answered} answered; failed on a living server: {faults:?}");
    }
    let ids = stored_ids(&servers).await;
    let expected: BTreeSet<String> = (1..=ROWS).map(|number| format!("point-{number}")).collect();
    assert_eq!(ids.len() as u64, ROWS);
    assert_eq!(ids.into_iter().collect::<BTreeSet<String>>(), expected);
    check(&database.url(), ROWS).await;
}

async fn reaches(acknowledged: &AtomicU64, rows: u64) {
    let start = Instant::now();
    while acknowledged.load(Ordering::Relaxed) < rows {
        assert!(start.elapsed() < PATIENCE, "the stream stands still before row {rows}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Orders a growth of one server: a worker does it, and all servers serve what came of it.
async fn growth_asked_of(servers: &[Place], number: usize) {
    let url = servers[number].url().expect("it runs");
    let path = format!("{url}/v1/learners/{LEARNER}/growth?wait=60");
    let order = json!({"wider": {"all": true, "factor": 1.5}});
    let (status, event) = send(&client(), &path, "POST", Some(&order)).await.expect("an answer");
    assert_eq!(status, 200, "{event}");
    let version = event["version"].as_u64().expect("a version");
    let row = ask(servers, number, "GET", &format!("/v1/learners/{LEARNER}/versions/{version}"), None).await;
    let created = OffsetDateTime::parse(row["created_at"].as_str().expect("a time"), &Rfc3339).expect("a time");
    for server in servers {
        let url = server.url().expect("it runs");
        loop {
            let body = json!({"inputs": [inputs(1)]});
            let path = format!("{url}/v1/learners/{LEARNER}/predict");
            let (_, answer) = send(&client(), &path, "POST", Some(&body)).await.expect("an answer");
            let since = OffsetDateTime::now_utc() - created;
            if answer["version"].as_u64().is_some_and(|serving| serving >= version) {
                println!("version {version} is served {since} after its commit");
                break;
            }
            assert!(since < SERVED_WITHIN, "{since} after its commit version {version} is not served: {answer}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    assert_eq!(row["version"], Value::from(version));
}
