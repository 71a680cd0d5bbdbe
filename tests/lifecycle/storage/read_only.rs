//! A database that may not be written: at the start, and made so under a running server.
//!
//! Nobody forbids root anything, so where the test runs as root the server runs as another user.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::stream::Stream;
use crate::server::Process;

/// `nobody`, or any other user without rights.
const OTHER_USER: u32 = 65_534;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Has the command run as a user whom file permissions bind.
fn bound(command: &mut Command) {
    if is_root() {
        command.uid(OTHER_USER).gid(OTHER_USER);
    }
}

/// Permissions of the folder and of every file in it.
fn permit(data: &Path, folder: u32, file: u32) {
    for entry in std::fs::read_dir(data).expect("readable") {
        std::fs::set_permissions(entry.expect("readable").path(), Permissions::from_mode(file)).expect("permitted");
    }
    std::fs::set_permissions(data, Permissions::from_mode(folder)).expect("permitted");
}

/// A folder for data that the server's user owns.
fn data_folder(folder: &Path) -> std::path::PathBuf {
    let data = folder.join("data");
    std::fs::create_dir(&data).expect("a folder");
    if is_root() {
        std::fs::set_permissions(folder, Permissions::from_mode(0o755)).expect("permitted");
        chown(&data, Some(OTHER_USER), Some(OTHER_USER)).expect("owned");
    }
    data
}

/// Whether the other user may run the binary at all.
fn may_run() -> bool {
    let mut version = Command::new(env!("CARGO_BIN_EXE_perennial"));
    bound(version.arg("--version").stdout(Stdio::null()));
    let runs = version.status().is_ok_and(|status| status.success());
    if !runs {
        println!("skipped: the user that permissions bind may not run the binary");
    }
    runs
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_made_read_only_loses_nothing_and_predictions_go_on() {
    if !may_run() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let data = data_folder(folder.path());
    let server = Process::start_with(&data, bound);
    let mut stream = Stream::start(&server).await;
    permit(&data, 0o555, 0o444);
    for _ in 0..3 {
        // What is open stays writable; either way a 2xx is kept.
        let (status, answer) = stream.post(&server, 20).await;
        assert!(status == 200 || status >= 500, "{answer}");
    }
    stream.predicts(&server).await;
    server.kill();

    // A server that finds the database so, with its log beside it, can read all that it needs.
    let server = Process::start_with(&data, bound);
    for _ in 0..2 {
        let (status, answer) = stream.post(&server, 20).await;
        assert_eq!((status, answer["code"].as_str()), (503, Some("storage_unavailable")), "{answer}");
        stream.predicts(&server).await;
    }
    permit(&data, 0o755, 0o644);
    assert_eq!(stream.post(&server, 20).await.0, 200, "it may be written again, by the same server");
    stream.is_whole(&server).await;
    assert_eq!(server.terminate(), Some(0));

    // Without the log SQLite cannot even read it where it may create nothing: that is said.
    permit(&data, 0o555, 0o444);
    let mut serve = Command::new(env!("CARGO_BIN_EXE_perennial"));
    bound(serve.args(["serve", "--port", "0", "--data-dir"]).arg(&data));
    let output = serve.output().expect("it runs");
    let error = String::from_utf8_lossy(&output.stderr);
    permit(&data, 0o755, 0o644);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("perennial.db") && error.contains("may not write"), "{error}");
}
