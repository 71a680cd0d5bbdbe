//! Growth by hand: dry runs, growths that are committed, refusals.

use serde_json::{Value, json};

use crate::server::{Server, inputs};

const PATH: &str = "/v1/learners/cats/growth";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_shows_the_plan_and_changes_nothing() {
    let server = Server::start().await;
    let created = server.create("cats").await;
    let order = json!({"wider": {"node": "hidden1", "factor": 2}});
    let preview = server.post(&format!("{PATH}?dry_run=true"), &order).await.expect(200);
    assert_eq!(preview["plan"]["op"], "wider");
    assert_eq!(preview["plan"]["parameters_before"], created["network"]["parameters"]);
    assert!(preview["plan"]["parameters_after"].as_u64() > preview["plan"]["parameters_before"].as_u64());
    let touched = preview["plan"]["touched"].as_array().unwrap();
    let hidden = touched.iter().find(|node| node["node"] == "hidden1").unwrap();
    assert_eq!((&hidden["shape_before"], &hidden["shape_after"]), (&json!([4]), &json!([8])));
    assert_eq!(hidden["change"], "wider");
    assert!(hidden["flops_after"].as_u64() > hidden["flops_before"].as_u64());
    assert_eq!(preview["plan"]["preserves"], json!({"kind": "function"}));
    assert_eq!(preview["plan"]["sets"], json!([{"nodes": ["hidden1"], "channels_before": 4, "channels_after": 8}]));
    assert_eq!(preview["plan"]["layers_before"], preview["plan"]["layers_after"]);

    let shown = server.get("/v1/learners/cats").await.expect(200);
    assert_eq!(shown["network"], created["network"]);
    assert_eq!(server.get(PATH).await.expect(200)["events"], json!([]));
    server.get(&format!("{PATH}/1")).await.problem(404, "growth_not_found");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_growth_is_committed_served_and_kept_in_the_history() {
    let server = Server::start().await;
    server.create("cats").await;
    server.ingest("cats", 1, 100).await;
    server.settle("cats").await;
    let rows = json!({"inputs": (0..50).map(inputs).collect::<Vec<_>>()});
    let before = server.post("/v1/learners/cats/predict", &rows).await.expect(200);

    let event = server.post(PATH, &json!({"wider": {"all": true, "factor": 2}})).await.expect(200);
    assert_eq!(
        (&event["state"], &event["op"], &event["trigger"]),
        (&json!("applied"), &json!("wider"), &json!("manual"))
    );
    assert!(event["certificate"]["max_rel_diff"].as_f64().unwrap() <= 1e-5);
    let live = server.get("/v1/learners/cats").await.expect(200)["live"]["version"].as_u64();
    assert!(live >= event["version"].as_u64(), "training may have gone on from it, never back: {live:?}");
    let grown = json!({"inputs": rows["inputs"], "version": event["version"]});
    let after = server.post("/v1/learners/cats/predict", &grown).await.expect(200);
    assert_same_probabilities(&before, &after);

    let deeper = server.post(PATH, &json!({"deeper": {"after": "hidden1"}})).await.expect(200);
    let history = server.get(PATH).await.expect(200);
    // The stream's two colours grew the inputs first.
    let events = history["events"].as_array().unwrap();
    let shown: Vec<_> = events.iter().map(|event| (event["trigger"].as_str().unwrap(), &event["version"])).collect();
    assert_eq!(shown[shown.len() - 2..], [("manual", &event["version"]), ("manual", &deeper["version"])]);
    assert!(shown[..shown.len() - 2].iter().all(|(trigger, _)| *trigger == "stream"));
    let ticket = server.get(&format!("{PATH}/{}", event["ticket"])).await.expect(200);
    assert_eq!((&ticket["state"], &ticket["event"]["version"]), (&json!("applied"), &event["version"]));
    let first_page = server.get(&format!("{PATH}?limit=1")).await.expect(200);
    assert_eq!(first_page["events"], json!([events[0]]));
    let next = &first_page["next_after"]["events"];
    let second_page = server.get(&format!("{PATH}?limit=1&after={next}")).await.expect(200);
    assert_eq!(second_page["events"], json!([events[1]]));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_growth_that_is_not_waited_for_is_found_at_its_place() {
    let server = Server::start().await;
    server.create("cats").await;
    let answer = server.post(&format!("{PATH}?wait=0"), &json!({"wider": {"all": true, "to": 6}})).await;
    assert_eq!((answer.status, answer.header("location")), (202, "/v1/learners/cats/growth/1"));
    loop {
        let ticket = server.get(&format!("{PATH}/1")).await.expect(200);
        match ticket["state"].as_str().unwrap() {
            "planned" => tokio::task::yield_now().await,
            state => {
                assert_eq!(state, "applied", "{ticket}");
                break;
            }
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_growth_that_cannot_be_done_says_why() {
    let server = Server::start().await;
    let created = server.create("cats").await;
    for query in ["", "?dry_run=true"] {
        let path = format!("{PATH}{query}");
        let unknown = server.post(&path, &json!({"wider": {"node": "hidden9", "factor": 2}})).await;
        assert_eq!(unknown.problem(404, "unknown_node")["refusal"]["known"], json!(["hidden1"]));
        let evil = server.post(&path, &json!({"deeper": {"after": "../../etc/passwd"}})).await;
        assert_eq!(evil.problem(404, "unknown_node")["refusal"]["known"], json!(["hidden1"]));
        let large = server.post(&path, &json!({"wider": {"all": true, "to": 100_000}})).await;
        assert_eq!(large.problem(422, "growth_refused")["refusal"]["code"], "budget");
        let smaller = server.post(&path, &json!({"wider": {"all": true, "to": 2}})).await;
        smaller.problem(422, "growth_refused");
        let regression = server.post(&path, &json!({"classes": ["yes"]})).await;
        regression.problem(422, "growth_refused");
    }
    let shown = server.get("/v1/learners/cats").await.expect(200);
    assert_eq!(shown["network"], created["network"]);
    server.stop().await;
}

/// The answers of a learner of `no` and `yes` are the same, as far as 32 bits can tell.
#[track_caller]
pub fn assert_same_probabilities(before: &Value, after: &Value) {
    let rows = |answer: &Value| answer["predictions"].as_array().unwrap().clone();
    for (before, after) in rows(before).iter().zip(&rows(after)) {
        for class in ["no", "yes"] {
            let probability = |row: &Value| row["probabilities"][class].as_f64().unwrap();
            assert!((probability(before) - probability(after)).abs() < 1e-5, "{before} became {after}");
        }
    }
}
