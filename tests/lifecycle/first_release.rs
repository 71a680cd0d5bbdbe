//! Databases of earlier releases (`tests/fixtures`): today's build opens them, and nothing of them is lost or changed.

use std::path::Path;

use serde_json::json;

use crate::release::{Client, KEYS_STAY, RELEASES, documents, examples, unpack};
use crate::server::Process;

#[tokio::test(flavor = "multi_thread")]
async fn the_database_of_every_release_opens_with_all_it_said_and_training_goes_on() {
    for release in RELEASES {
        let folder = tempfile::tempdir().expect("a folder");
        unpack(release, folder.path());
        let server = Process::start_with(folder.path(), |command| _ = command.envs([KEYS_STAY]));
        Client::of(&server.url("")).has_everything_of(release).await;
        assert_eq!(server.terminate(), Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "makes a fixture; tests/fixtures/README.md says when"]
async fn make_the_database_of_this_release() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Process::start_with(folder.path(), |command| _ = command.envs([KEYS_STAY]));
    let client = Client::of(&server.url(""));
    let mut first_answers = serde_json::Map::new();
    let mut learners = serde_json::Map::new();
    for document in documents() {
        let name = document["name"].as_str().expect("a name").to_owned();
        let path = format!("/v1/learners/{name}");
        let (status, answer) = server.request("POST", "/v1/learners", Some(&document)).await;
        assert_eq!(status, 201, "{answer}");
        first_answers.insert(name.clone(), client.post_examples(&name, "first", &examples(&name, 0, 100)).await);
        for (round, from) in [(1, 100), (2, 200)] {
            client.post_examples(&name, &format!("round-{round}"), &examples(&name, from, from + 100)).await;
            server.idle(&name).await;
        }
        let order = json!({"wider": {"all": true, "factor": 1.5}});
        let (status, ticket) = server.request("POST", &format!("{path}/growth?wait=60"), Some(&order)).await;
        assert_eq!((status, &ticket["state"]), (200, &json!("applied")), "{ticket}");
        let order = json!({"wider": {"node": "hidden1", "to": 1}});
        let (status, refusal) = server.request("POST", &format!("{path}/growth?wait=60"), Some(&order)).await;
        assert_eq!(status, 422, "{refusal}");
        server.idle(&name).await;
    }
    for document in documents() {
        let name = document["name"].as_str().expect("a name").to_owned();
        server.idle(&name).await;
        learners.insert(name.clone(), client.known(&name).await);
    }
    assert_eq!(server.terminate(), Some(0));
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/fixture");
    std::fs::create_dir_all(&target).expect("a folder");
    let database = std::fs::read(folder.path().join("perennial.db")).expect("there");
    let packed = std::fs::File::create(target.join("this-release.db.gz")).expect("created");
    let mut encoder = flate2::write::GzEncoder::new(packed, flate2::Compression::best());
    std::io::Write::write_all(&mut encoder, &database).expect("written");
    encoder.finish().expect("finished");
    let known = json!({"learners": learners, "first_answers": first_answers});
    std::fs::write(target.join("this-release.json"), format!("{known:#}\n")).expect("written");
}
