//! The commands that look after a database, beside a server that serves and writes: `migrate`, `backup`, `restore`, `verify`.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::release::unpack;
use crate::server::{Process, digits, digits_learner};

fn perennial(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_perennial")).args(arguments).output().expect("it runs")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn answer(output: &Output) -> Value {
    assert!(output.status.success(), "{}", stderr(output));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_running_server_is_restored_and_served_with_the_same_answers() {
    let folder = tempfile::tempdir().expect("a folder");
    let (old, new) = (folder.path().join("old"), folder.path().join("new"));
    let blobs = folder.path().join("blobs");
    let variables = [("PERENNIAL_STORAGE__BLOBS", text(&blobs))];
    let server = Process::start_with(&old, |command| _ = command.envs(variables));
    let digits = digits();
    server.request("POST", "/v1/learners", Some(&digits_learner("digits"))).await;
    let (status, _) =
        server.request("POST", "/v1/learners/digits/examples", Some(&json!({"examples": digits[..300]}))).await;
    assert_eq!(status, 200);
    let before = server.idle("digits").await;
    let question = json!({"inputs": [digits[400]["inputs"], digits[401]["inputs"]]});
    let predicted = server.request("POST", "/v1/learners/digits/predict", Some(&question)).await;

    let verified = answer(&perennial(&["verify", "--deep", "--json", "--data-dir", text(&old)]));
    assert_eq!(verified["faults"], json!([]));
    assert_eq!(verified["learners"][0]["head_seq"], 300);
    let file = folder.path().join("backup.db");
    let made = answer(&perennial(&["backup", text(&file), "--json", "--data-dir", text(&old)]));
    assert_eq!(made["verified"]["learners"][0]["live"], before["live"]["version"]);
    let again = perennial(&["backup", text(&file), "--data-dir", text(&old)]);
    assert!(!again.status.success() && stderr(&again).contains("--force"), "{}", stderr(&again));
    let (status, _) =
        server.request("POST", "/v1/learners/digits/examples", Some(&json!({"examples": digits[300..310]}))).await;
    assert_eq!(status, 200, "the server goes on");
    let refused = perennial(&["restore", text(&file), "--data-dir", text(&old)]);
    assert!(!refused.status.success() && stderr(&refused).contains("serves it already"), "{}", stderr(&refused));
    assert_eq!(server.terminate(), Some(0));
    let refused = perennial(&["restore", text(&file), "--data-dir", text(&old)]);
    assert!(!refused.status.success() && stderr(&refused).contains("1 learners"), "{}", stderr(&refused));

    let restored = answer(&perennial(&["restore", text(&file), "--json", "--data-dir", text(&new)]));
    assert_eq!(restored["verified"]["faults"], json!([]));
    std::fs::remove_dir_all(&blobs).expect("the old weights are gone");
    let server = Process::start(&new);
    assert_eq!(server.request("POST", "/v1/learners/digits/predict", Some(&question)).await, predicted);
    let after = server.idle("digits").await;
    for pointer in ["/head_seq", "/trained_seq", "/live/version", "/network", "/training/steps", "/metrics"] {
        assert_eq!(before.pointer(pointer), after.pointer(pointer), "{pointer}");
    }
    let body = json!({"examples": digits[300..310]});
    let (status, answer) = server.request("POST", "/v1/learners/digits/examples", Some(&body)).await;
    assert_eq!((status, &answer["first_seq"]), (200, &json!(301)), "{answer}");
    server.trains_beyond("digits", 300).await;
    assert_eq!(server.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_may_not_migrate_asks_for_the_command_and_starts_after_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let database = unpack("first-release", folder.path());
    let before = std::fs::read(&database).expect("readable");
    let data = text(folder.path());
    let serve = Command::new(env!("CARGO_BIN_EXE_perennial"))
        .args(["serve", "--port", "0", "--data-dir", data])
        .env("PERENNIAL_STORAGE__MIGRATE", "false")
        .output()
        .expect("it runs");
    assert_eq!(serve.status.code(), Some(1));
    assert!(stderr(&serve).contains("run `perennial migrate`"), "{}", stderr(&serve));
    let check = perennial(&["migrate", "--check", "--data-dir", data]);
    assert_eq!(check.status.code(), Some(1), "something is pending");
    assert!(String::from_utf8_lossy(&check.stdout).contains("object store"), "with its reason");
    assert!(std::fs::read(&database).expect("readable") == before, "nothing was changed so far");
    let migrated = answer(&perennial(&["migrate", "--json", "--data-dir", data]));
    assert!(migrated["applied"].as_array().is_some_and(|applied| !applied.is_empty()), "{migrated}");
    assert!(perennial(&["migrate", "--check", "--data-dir", data]).status.success());
    let server = Process::start_with(folder.path(), |command| _ = command.env("PERENNIAL_STORAGE__MIGRATE", "false"));
    assert_eq!(server.get("/v1/learners/plants").await["head_seq"], 300);
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn verify_ends_with_an_error_when_something_is_wrong() {
    let folder = tempfile::tempdir().expect("a folder");
    let database = unpack("first-release", folder.path());
    let data = text(folder.path());
    assert!(perennial(&["migrate", "--data-dir", data]).status.success());
    let sound = perennial(&["verify", "--data-dir", data]);
    assert!(sound.status.success(), "{}", stderr(&sound));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        use sqlx::Connection;
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&database);
        let mut connection = sqlx::SqliteConnection::connect_with(&options).await.expect("opened");
        let damage = "DELETE FROM examples WHERE learner_id = 2 AND seq = 9";
        sqlx::query(damage).execute(&mut connection).await.expect("damaged");
        connection.close().await.expect("closed");
    });
    let found = perennial(&["verify", "--data-dir", data]);
    assert_eq!(found.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&found.stdout).contains("fault: learner 2"), "{found:?}");
}
