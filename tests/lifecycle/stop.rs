//! Graceful stops and starts.

use serde_json::json;

use crate::server::{Process, digits, digits_learner};

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_server_goes_on_where_it_stood() {
    let folder = tempfile::tempdir().expect("a folder");
    let digits = digits();
    let server = Process::start(folder.path());
    server.request("POST", "/v1/learners", Some(&digits_learner("digits"))).await;
    let (status, _) =
        server.request("POST", "/v1/learners/digits/examples", Some(&json!({"examples": digits[..200]}))).await;
    assert_eq!(status, 200);
    let before = server.idle("digits").await;
    assert_eq!(server.terminate(), Some(0), "SIGTERM ends it gracefully");

    let server = Process::start(folder.path());
    let after = server.idle("digits").await;
    for pointer in ["/head_seq", "/trained_seq", "/live/version", "/network", "/training/steps", "/metrics"] {
        assert_eq!(before.pointer(pointer), after.pointer(pointer), "{pointer}");
    }
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn an_address_in_use_and_a_file_that_is_no_database_are_clear_errors() {
    let folder = tempfile::tempdir().expect("a folder");
    let serve = |arguments: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_perennial")).arg("serve").args(arguments).output();
        let output = output.expect("it runs");
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let data = folder.path().join("data");
    let text = serve(&["--port", &port, "--data-dir", data.to_str().expect("plain")]);
    assert!(text.contains(&port) && text.contains("in use"), "{text}");

    let file = folder.path().join("letter.txt");
    std::fs::write(&file, "Dear database, this is a letter and not what you think it is. ".repeat(40))
        .expect("written");
    let text = serve(&["--port", "0", "--database", &format!("sqlite:{}", file.display())]);
    assert!(text.contains("letter.txt") && text.contains("no SQLite database"), "{text}");
}

/// Runs a command that must fail; what it says.
fn refused(arguments: &[&str]) -> String {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_perennial")).args(arguments).output();
    let output = output.expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_second_server_on_one_file_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().to_str().expect("plain");
    let server = Process::start(folder.path());
    let text = refused(&["serve", "--port", "0", "--data-dir", data]);
    assert!(text.contains("serves it already") && text.contains("perennial.db"), "{text}");
    server.kill();
    // The lock went with the process, however that ended.
    assert_eq!(Process::start(folder.path()).terminate(), Some(0));
}

#[test]
fn workers_and_servers_without_trainers_are_refused_on_sqlite() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().to_str().expect("plain");
    for arguments in [&["serve", "--role", "api", "--port", "0"][..], &["worker", "--port", "0"]] {
        let text = refused(&[arguments, &["--data-dir", data]].concat());
        assert!(text.contains("one process owns a SQLite file") && text.contains("postgres://"), "{text}");
    }
}
