//! Aliases over HTTP: who moves them, what holds them, and what a client that predicts by them sees.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use perennial::registry::Retention;
use perennial::stream::LearnerName;
use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{Answer, Server, example, inputs};

const PATH: &str = "/v1/learners/cats";

fn alias(name: &str) -> String {
    format!("{PATH}/aliases/{name}")
}

impl Server {
    async fn put(&self, path: &str, body: &Value, headers: &[(&str, &str)]) -> Answer {
        let mut request = self.client.request(Method::PUT, format!("{}{path}", self.base)).json(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request).await
    }

    /// A learner with several versions that rests.
    async fn trained(&self) -> u64 {
        self.create("cats").await;
        self.ingest("cats", 1, 300).await;
        let learner = self.settle("cats").await;
        let live = learner["live"]["version"].as_u64().unwrap();
        assert!(live > 3, "{learner}");
        live
    }

    async fn predicted_by(&self, version: Value) -> Answer {
        self.post(&format!("{PATH}/predict"), &json!({"inputs": [inputs(1)], "version": version})).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alias_is_made_moved_and_deleted_and_predictions_follow_it() {
    let server = Server::start().await;
    let live = server.trained().await;
    server.predicted_by(json!("canary")).await.problem(404, "alias_not_found");
    let made = server.put(&alias("canary"), &json!({"version": 1}), &[("if-none-match", "*")]).await;
    assert_eq!((made.status, made.header("etag")), (201, "\"1\""));
    assert_eq!(server.predicted_by(json!("canary")).await.expect(200)["version"], 1);
    let body = json!({"version": "live", "reason": "it is good"});
    let moved = server.put(&alias("canary"), &body, &[("if-match", "\"1\""), ("perennial-actor", "anna")]).await;
    assert_eq!(moved.header("etag"), "\"2\"");
    assert_eq!(moved.expect(200)["version"], live);
    assert_eq!(server.predicted_by(json!("canary")).await.expect(200)["version"], live);
    let shown = server.get(&alias("canary")).await;
    assert_eq!((shown.header("etag"), &shown.json()["generation"]), ("\"2\"", &json!(2)));
    let list = server.get(&format!("{PATH}/aliases")).await.expect(200);
    let names: Vec<&str> =
        list["aliases"].as_array().unwrap().iter().map(|one| one["alias"].as_str().unwrap()).collect();
    assert_eq!(names, ["canary", "live"]);
    let version = server.get(&format!("{PATH}/versions/{live}")).await.expect(200);
    assert_eq!(version["aliases"], json!([{"alias": "canary", "pinned": false}, {"alias": "live", "pinned": false}]));

    server.delete(&alias("live")).await.problem(409, "alias_reserved");
    assert_eq!(server.delete(&alias("canary")).await.status, 204);
    server.get(&alias("canary")).await.problem(404, "alias_not_found");
    server.predicted_by(json!("canary")).await.problem(404, "alias_not_found");
    let history = server.get(&format!("{}/history", alias("canary"))).await.expect(200);
    let told: Vec<Value> = history["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| json!([change["action"], change["from"], change["to"], change["actor"], change["reason"]]))
        .collect();
    let expected = json!([
        ["created", null, 1, "operator", null],
        ["moved", 1, live, "anna", "it is good"],
        ["deleted", live, null, "operator", null],
    ]);
    assert_eq!(json!(told), expected);
    let at = history["changes"][1]["at"].as_str().unwrap();
    let then = server.get(&format!("{}/history?at={at}", alias("canary"))).await.expect(200);
    assert_eq!((&then["version"], &then["change"]["generation"]), (&json!(live), &json!(2)));
    let before = server.get(&format!("{}/history?at=2001-01-01T00:00:00Z", alias("live"))).await.expect(200);
    assert_eq!((&before["version"], &before["change"]), (&json!(null), &json!(null)));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_alias_requests_are_refused_and_change_nothing() {
    let server = Server::start().await;
    let live = server.trained().await;
    let before = server.get(&alias("live")).await.json();
    let put = async |name: &str, body: Value, headers: &[(&str, &str)]| server.put(&alias(name), &body, headers).await;
    for name in ["7", "Live", "a.b", &"x".repeat(65)] {
        put(name, json!({"version": 1}), &[]).await.problem(422, "invalid_alias");
        server.get(&alias(name)).await.problem(404, "alias_not_found");
    }
    put("live", json!({"version": 999}), &[]).await.problem(404, "version_not_found");
    put("live", json!({"version": "nobody"}), &[]).await.problem(404, "alias_not_found");
    for (body, pointer) in [
        (json!({"version": -1}), "/version"),
        (json!({"version": [1]}), "/version"),
        (json!({"version": 1, "pin": "yes"}), "/pin"),
        (json!({"version": 1, "pinned": true}), "/pinned"),
        (json!({"version": 1, "reason": ""}), "/reason"),
        (json!({"version": 1, "reason": "a\u{0}b"}), "/reason"),
        (json!({"version": 1, "reason": "x".repeat(501)}), "/reason"),
        (json!({}), ""),
    ] {
        let problem = put("live", body, &[]).await.problem(422, "invalid_document");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    let stale =
        put("live", json!({"version": 1}), &[("if-match", "\"999\"")]).await.problem(412, "precondition_failed");
    assert_eq!(stale["generation"], before["generation"]);
    put("live", json!({"version": 1}), &[("if-none-match", "*")]).await.problem(412, "precondition_failed");
    put("new", json!({"version": 1}), &[("if-match", "*")]).await.problem(412, "precondition_failed");
    put("live", json!({"version": 1}), &[("perennial-actor", "trainer")]).await.problem(400, "invalid_header");
    put("live", json!({"version": 1}), &[("if-none-match", "\"1\"")]).await.problem(400, "invalid_header");
    let rollback = async |body: Value| server.post(&format!("{PATH}/rollback"), &body).await;
    assert_eq!(rollback(json!({"to": live})).await.problem(422, "invalid_document")["errors"][0]["pointer"], "/to");
    rollback(json!({"to": 0})).await.problem(404, "version_not_found");
    server.post(&format!("{}/pin", alias("nobody")), &json!({})).await.problem(404, "alias_not_found");
    server.get(&format!("{}/history?at=yesterday", alias("live"))).await.problem(400, "invalid_query");
    server.get(&format!("{}/history", alias("nobody"))).await.problem(404, "alias_not_found");
    server.put("/v1/learners/dogs/aliases/live", &json!({"version": 1}), &[]).await.problem(404, "learner_not_found");
    assert_eq!(server.get(&alias("live")).await.json(), before);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_clients_that_saw_the_same_generation_one_moves_the_alias() {
    let server = Server::start().await;
    server.trained().await;
    let mut tag = server.put(&alias("canary"), &json!({"version": 3}), &[]).await.header("etag").to_owned();
    for _ in 0..5 {
        let now = server.get(&alias("canary")).await.json()["version"].clone();
        let others: Vec<u64> = (1..=3).filter(|&number| now != number).collect();
        let (path, headers) = (alias("canary"), [("if-match", tag.as_str())]);
        let bodies = [json!({"version": others[0]}), json!({"version": others[1]})];
        let (one, other) =
            tokio::join!(server.put(&path, &bodies[0], &headers), server.put(&path, &bodies[1], &headers));
        let (won, lost, version) = if one.status == 200 { (one, other, others[0]) } else { (other, one, others[1]) };
        lost.problem(412, "precondition_failed");
        let next = won.header("etag").to_owned();
        assert_eq!(won.expect(200)["version"], version);
        assert_eq!(server.get(&path).await.json()["version"], version);
        tag = next;
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolled_back_live_stays_while_training_publishes_and_moves_on_when_it_is_unpinned() {
    let server = Server::start().await;
    let live = server.trained().await;
    let back = server.post(&format!("{PATH}/rollback"), &json!({"reason": "worse"})).await.expect(200);
    assert_eq!((&back["from"], &back["pinned"]), (&json!(live), &json!(true)));
    let held = back["version"].as_u64().unwrap();
    assert!(held < live);
    assert_eq!(server.predicted_by(json!("live")).await.expect(200)["version"], held);
    let page = String::from_utf8(server.get("/metrics").await.bytes).unwrap();
    assert!(page.contains("perennial_alias_pinned{alias=\"live\",learner=\"cats\"} 1"), "{page}");

    server.ingest("cats", 301, 600).await;
    let learner = server.settle("cats").await;
    let waiting = learner["live"]["waiting"].as_u64().expect("the trainer accepted versions meanwhile");
    assert!(waiting > live);
    assert_eq!((&learner["live"]["version"], &learner["live"]["pinned"]), (&json!(held), &json!(true)));
    assert_eq!(server.predicted_by(json!("live")).await.expect(200)["version"], held);
    let refused = server.put(&alias("live"), &json!({"version": 1}), &[]).await;
    refused.problem(409, "alias_pinned");

    let unpinned = server.post(&format!("{}/unpin", alias("live")), &json!({})).await.expect(200);
    assert_eq!((&unpinned["version"], &unpinned["pinned"]), (&json!(waiting), &json!(false)));
    assert_eq!(server.predicted_by(json!("live")).await.expect(200)["version"], waiting);
    server.ingest("cats", 601, 900).await;
    let learner = server.settle("cats").await;
    assert!(learner["live"]["version"].as_u64() > Some(waiting), "the trainer moves it again: {learner}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_rollback_after_the_other_leads_further_back_and_nothing_waits_that_was_left() {
    let server = Server::start().await;
    let live = server.trained().await;
    let mut at = live;
    while at > 1 {
        let back = server.post(&format!("{PATH}/rollback"), &json!({})).await.expect(200);
        let to = back["version"].as_u64().unwrap();
        assert!(to < at, "{back}");
        at = to;
    }
    server.post(&format!("{PATH}/rollback"), &json!({})).await.problem(409, "nothing_to_roll_back_to");
    let unpinned = server.post(&format!("{}/unpin", alias("live")), &json!({})).await.expect(200);
    assert_eq!(unpinned["version"], 1, "the version that was left does not come back by itself");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alias_moves_to_no_version_that_cannot_be_loaded() {
    let server = Server::start().await;
    let live = server.trained().await;
    let name = LearnerName::parse("cats").unwrap();
    let learner = server.state.store.learner(&name).await.unwrap().unwrap().id;
    server.state.store.sweep_weights(learner, &Retention::newest(1)).await.unwrap();
    let list = server.get(&format!("{PATH}/versions")).await.expect(200);
    let versions = list["versions"].as_array().unwrap();
    let gone = versions.iter().find(|version| version["weights_kept"] == false).expect("some weights were dropped");
    let gone = gone["version"].clone();
    for name in ["live", "canary"] {
        server.put(&alias(name), &json!({"version": gone}), &[]).await.problem(409, "version_not_loadable");
    }
    server.predicted_by(gone.clone()).await.problem(410, "weights_gone");
    server.post(&format!("{PATH}/rollback"), &json!({"to": gone})).await.problem(409, "version_not_loadable");
    assert_eq!(server.get(&alias("live")).await.json()["version"], live);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_prediction_fails_while_live_is_rolled_back_and_forth_and_training_publishes() {
    let server = Arc::new(Server::start().await);
    let live = server.trained().await;
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..2)
        .map(|number| {
            let (server, stop) = (server.clone(), stop.clone());
            tokio::spawn(async move {
                let mut answered = 0_u64;
                while !stop.load(Ordering::Relaxed) {
                    let body = json!({"inputs": [inputs(number), inputs(answered)]});
                    let answer = server.post(&format!("{PATH}/predict"), &body).await.expect(200);
                    assert_eq!(answer["predictions"].as_array().map(Vec::len), Some(2));
                    answered += 1;
                }
                answered
            })
        })
        .collect();
    let mut head = 300;
    for _ in 0..4 {
        let back = server.post(&format!("{PATH}/rollback"), &json!({"to": live - 1})).await.expect(200);
        assert_eq!(server.predicted_by(json!("live")).await.expect(200)["version"], back["version"]);
        server.ingest("cats", head + 1, head + 60).await;
        head += 60;
        server.until("cats", |learner| learner["live"]["waiting"].is_u64()).await;
        let unpinned = server.post(&format!("{}/unpin", alias("live")), &json!({})).await.expect(200);
        assert!(unpinned["version"].as_u64() > Some(live));
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        assert!(client.await.expect("every prediction was answered") > 0);
    }
    Arc::into_inner(server).expect("the clients have ended").stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lineage_tells_every_growth_with_its_plan_and_certificate() {
    let server = Server::start().await;
    server.create("cats").await;
    server.ingest("cats", 1, 100).await;
    server.settle("cats").await;
    let event = server.post(&format!("{PATH}/growth"), &json!({"wider": {"all": true, "factor": 2}})).await.expect(200);
    let student = event["version"].as_u64().unwrap();
    server.post(&format!("{PATH}/examples"), &json!({"examples": (101..=200).map(example).collect::<Vec<_>>()})).await;
    let learner = server.settle("cats").await;
    let newest = learner["live"]["version"].as_u64().unwrap().max(student);

    let shown = server.get(&format!("{PATH}/versions/{student}")).await.expect(200);
    assert_eq!(shown["growth"]["trigger"], "manual");
    assert_eq!(shown["growth"]["certificate"]["preserved"], true);
    let path = format!("{PATH}/versions/{newest}/lineage");
    let whole = server.get(&path).await.expect(200);
    let chain = whole["lineage"].as_array().unwrap();
    assert_eq!((&chain[0]["version"], &chain.last().unwrap()["version"]), (&json!(newest), &json!(1)));
    assert!(chain.windows(2).all(|pair| pair[0]["parent"] == pair[1]["version"]));
    assert_eq!(whole["next_after"], json!(null));
    let grown = chain.iter().find(|version| version["version"] == student).expect("the student is an ancestor");
    assert_eq!((&grown["growth"]["plan"]["op"], &grown["cause"]["op"]), (&json!("wider"), &json!("wider")));

    let mut paged: Vec<Value> = Vec::new();
    let mut after = String::new();
    loop {
        let page = server.get(&format!("{path}?limit=2{after}")).await.expect(200);
        paged.extend(page["lineage"].as_array().unwrap().iter().cloned());
        match page["next_after"].as_u64() {
            Some(last) => after = format!("&after={last}"),
            None => break,
        }
    }
    assert_eq!(&paged, chain);
    server.get(&format!("{PATH}/versions/999/lineage")).await.problem(404, "version_not_found");
    server.stop().await;
}
