//! kill -9, again and again, while examples stream in and versions are published.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::server::{Process, digits, digits_learner};

/// How often the server is killed; more with `PERENNIAL_KILL_ROUNDS`.
fn rounds() -> usize {
    std::env::var("PERENNIAL_KILL_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(8)
}

/// Everything in the stream, in order, page by page.
async fn stream_of(server: &Process) -> Vec<Value> {
    let mut examples: Vec<Value> = Vec::new();
    loop {
        let after = examples.last().map_or(0, |example| example["seq"].as_u64().expect("a seq"));
        let page = server.get(&format!("/v1/learners/digits/examples?limit=1000&after={after}")).await;
        let page = page["examples"].as_array().expect("examples").clone();
        if page.is_empty() {
            return examples;
        }
        examples.extend(page);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn acked_examples_and_the_live_version_survive_kill_9() {
    let folder = tempfile::tempdir().expect("a folder");
    let digits = digits();
    let mut posted = 0;
    let mut acked = BTreeSet::new();
    let mut live = 0;
    let mut trained = 0;
    for round in 0..rounds() {
        let server = Process::start(folder.path());
        if round == 0 {
            let (status, answer) = server.request("POST", "/v1/learners", Some(&digits_learner("digits"))).await;
            assert_eq!(status, 201, "{answer}");
        }
        let learner = server.get("/v1/learners/digits").await;
        assert!(learner["live"]["version"].as_u64().expect("a version") >= live, "{learner}");
        assert!(learner["trained_seq"].as_u64().expect("a seq") >= trained, "{learner}");
        let stored = stream_of(&server).await;
        let seqs: Vec<u64> = stored.iter().map(|example| example["seq"].as_u64().expect("a seq")).collect();
        assert_eq!(seqs, (1..=stored.len() as u64).collect::<Vec<_>>(), "dense");
        let ids: BTreeSet<&str> = stored.iter().map(|example| example["id"].as_str().expect("an id")).collect();
        assert_eq!(ids.len(), stored.len(), "every id once");
        for id in &acked {
            assert!(ids.contains(String::as_str(id)), "{id} was acknowledged and is gone");
        }
        let pixels = &digits[round]["inputs"];
        let (status, answer) =
            server.request("POST", "/v1/learners/digits/predict", Some(&json!({"inputs": [pixels]}))).await;
        assert_eq!(status, 200, "{answer}");
        assert!(answer["version"].as_u64().expect("a version") >= live);

        // The lease of the trainer that was killed has to end first; then training goes on where it stood.
        server.trains_beyond("digits", trained).await;

        // A different number of requests each round, so that the kill meets the server in different states; the last
        // request is never waited for.
        let requests = 3 + (round * 7) % 11;
        for request in 0..requests {
            let batch: Vec<&Value> = digits.iter().cycle().skip(posted).take(13).collect();
            posted += batch.len();
            let body = json!({"examples": batch});
            let path = "/v1/learners/digits/examples";
            if request + 1 == requests {
                let unanswered = server.try_request("POST", path, Some(&body));
                let killed = tokio::time::timeout(std::time::Duration::from_millis(round as u64 % 5), unanswered);
                // Answered or not: what matters is what was acknowledged.
                if let Ok(Ok((200, _))) = killed.await {
                    acked.extend(batch.iter().map(|example| example["id"].as_str().expect("an id").to_owned()));
                }
                break;
            }
            let (status, answer) = server.request("POST", path, Some(&body)).await;
            assert_eq!(status, 200, "{answer}");
            acked.extend(batch.iter().map(|example| example["id"].as_str().expect("an id").to_owned()));
        }
        let (_, answer) = server.request("GET", "/v1/learners/digits/versions?limit=1000", None).await;
        let versions = answer["versions"].as_array().expect("versions");
        let numbers: Vec<u64> = versions.iter().map(|version| version["version"].as_u64().expect("a number")).collect();
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "versions are dense");
        live = server.get("/v1/learners/digits").await["live"]["version"].as_u64().expect("a version");
        server.kill();
        // What a checkpoint holds can only be more after the next start, never less than what was committed by then.
        trained = trained.max(committed_trained_seq(folder.path()).await);
    }
    let server = Process::start(folder.path());
    let learner = server.idle("digits").await;
    assert!(learner["head_seq"].as_u64().expect("a seq") >= acked.len() as u64);
    assert!(learner["live"]["version"].as_u64().expect("a version") > 1, "it learned: {learner}");
    assert_eq!(server.terminate(), Some(0));
}

/// The place that the checkpoint in the killed server's database stands at.
async fn committed_trained_seq(data: &std::path::Path) -> u64 {
    use perennial::training::TrainingStore;
    let store = perennial::store::SqliteStore::open(&data.join("perennial.db")).await.expect("opened");
    let name = perennial::stream::LearnerName::parse("digits").expect("a name");
    let learner = store.learner(&name).await.expect("read").expect("there");
    let checkpoint = store.checkpoint(learner.id).await.expect("read").expect("a learner has one from its creation");
    perennial::training::Store::close(&store).await;
    checkpoint.trained_seq.0
}
