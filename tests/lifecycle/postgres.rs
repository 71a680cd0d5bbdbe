//! A whole life on Postgres: ingest, training, a growth, a database that dies and comes back, kill -9 of the server.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

#[path = "../servers/postgres.rs"]
mod servers;

use self::servers::{Database, PostgresServer};
use crate::server::{PATIENCE, Process, digits, digits_learner};

const PATH: &str = "/v1/learners/digits";

/// Posts examples again and again until they are acknowledged; how often they were refused.
async fn insist(server: &Process, examples: &[Value]) -> usize {
    let start = Instant::now();
    let mut refusals = 0;
    loop {
        let body = json!({"examples": examples});
        let (status, answer) = server.request("POST", &format!("{PATH}/examples"), Some(&body)).await;
        if status == 200 {
            return refusals;
        }
        assert!(status >= 500, "{answer}");
        refusals += 1;
        assert!(start.elapsed() < PATIENCE, "the server never takes them: {answer}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn predicts(server: &Process, inputs: &Value) -> u64 {
    let (status, answer) = server.request("POST", &format!("{PATH}/predict"), Some(&json!({"inputs": [inputs]}))).await;
    assert_eq!(status, 200, "{answer}");
    answer["version"].as_u64().expect("a version")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_life_on_postgres_survives_the_death_of_the_database_and_of_the_server() {
    let Some(postgres) = PostgresServer::start() else { return };
    let database = Database::new(&postgres);
    let folder = tempfile::tempdir().expect("a folder");
    let url = database.url();
    let variables = [("PERENNIAL_DATABASE", url.as_str()), ("PERENNIAL_STORAGE__CONNECTION_WAIT_MS", "500")];
    let digits = digits();
    let server = Process::start_with(folder.path(), |command| _ = command.envs(variables));
    let (status, answer) = server.request("POST", "/v1/learners", Some(&digits_learner("digits"))).await;
    assert_eq!(status, 201, "{answer}");
    for batch in digits[..300].chunks(50) {
        assert_eq!(insist(&server, batch).await, 0);
    }
    server.trains_beyond("digits", 200).await;
    let wider = json!({"wider": {"all": true, "factor": 2}});
    let (status, answer) = server.request("POST", &format!("{PATH}/growth?wait=60"), Some(&wider)).await;
    assert!(status == 200 || status == 202, "{answer}");

    // The database dies: predictions go on, examples are refused and taken once it is back.
    postgres.kill();
    let body = json!({"examples": &digits[310..320]});
    let (status, answer) = server.request("POST", &format!("{PATH}/examples"), Some(&body)).await;
    assert!(status >= 500, "{answer}");
    for example in &digits[..20] {
        predicts(&server, &example["inputs"]).await;
    }
    tokio::task::block_in_place(|| postgres.restart());
    for batch in digits[300..600].chunks(50) {
        insist(&server, batch).await;
    }
    let learner = server.idle("digits").await;
    let live = learner["live"]["version"].as_u64().expect("a version");
    assert!(live > 2 && learner["head_seq"] == 600, "{learner}");
    let history = server.get(&format!("{PATH}/growth")).await;
    let events = history["events"].as_array().expect("events");
    let ordered = events.iter().filter(|event| event["trigger"] == "manual" && event["op"] == "wider").count();
    assert_eq!(ordered, 1, "the order was carried out once: {history}");
    server.kill();

    let server = Process::start_with(folder.path(), |command| _ = command.envs(variables));
    assert_eq!(predicts(&server, &digits[0]["inputs"]).await, live);
    let read = server.get(&format!("{PATH}/examples?limit=1000")).await;
    let read = read["examples"].as_array().expect("examples");
    let seqs: Vec<u64> = read.iter().map(|example| example["seq"].as_u64().expect("a seq")).collect();
    assert_eq!(seqs, (1..=600).collect::<Vec<_>>());
    let ids: std::collections::BTreeSet<&str> = read.iter().filter_map(|example| example["id"].as_str()).collect();
    assert_eq!(ids.len(), 600, "nothing was stored twice");
    for batch in digits[600..700].chunks(50) {
        assert_eq!(insist(&server, batch).await, 0);
    }
    let learner = server.idle("digits").await;
    assert!(learner["trained_seq"] == 700 && learner["live"]["version"].as_u64() >= Some(live), "{learner}");
    assert_eq!(server.terminate(), Some(0));
    assert!(!folder.path().join("perennial.db").exists(), "nothing went into a file");
}
