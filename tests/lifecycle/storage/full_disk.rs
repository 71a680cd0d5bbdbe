//! A disk without room: a small one of its own where this user may mount, and a limit on the size of files anywhere.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Resource, Rlimit};

use super::stream::{Stream, log_says, logged, metric};
use crate::server::Process;

/// A file system in memory; gone when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None`, with the reason printed, where mounting is not permitted.
    fn mount(at: &Path, size: &str) -> Option<Self> {
        std::fs::create_dir(at).expect("a folder");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", size, "tmpfs"]).arg(at).output();
        match mount {
            Ok(output) if output.status.success() => Some(Self(at.to_owned())),
            Ok(output) => {
                let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                println!("skipped: no small disk can be mounted here ({reason})");
                None
            }
            Err(error) => {
                println!("skipped: no small disk can be mounted here ({error})");
                None
            }
        }
    }

    /// Takes all the room there is.
    fn fill(&self) {
        let mut filler = OpenOptions::new().append(true).create(true).open(self.filler()).expect("a file");
        for size in [1 << 16, 1 << 12] {
            while filler.write_all(&vec![0; size]).is_ok() {}
        }
    }

    /// Gives the room back.
    fn free(&self) {
        std::fs::remove_file(self.filler()).expect("removed");
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the server may be a moment from its end.
        Command::new("umount").arg("-l").arg(&self.0).status().ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_writes_with_507_and_everything_goes_on_once_there_is_room() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(disk) = SmallDisk::mount(&folder.path().join("disk"), "size=24m") else { return };
    let server = logged(&disk.0.join("data"), folder.path());
    let mut stream = Stream::start(&server).await;
    for _ in 0..2 {
        disk.fill();
        // A few more fit into what SQLite's log has room for already.
        let mut refused = None;
        for _ in 0..200 {
            let (status, answer) = stream.post(&server, 50).await;
            if status != 200 {
                refused = Some((status, answer));
                break;
            }
        }
        let (status, answer) = refused.expect("the disk is full");
        assert_eq!((status, answer["code"].as_str()), (507, Some("storage_full")), "{answer}");
        stream.predicts(&server).await;
        assert_eq!(stream.post(&server, 50).await.0, 507, "it stays full");
        assert!(metric(&server, "perennial_ingest_commit_failures_total{reason=\"full\"}").await > 0);
        assert!(log_says(folder.path(), "examples could not be committed"));

        disk.free();
        let (status, answer) = stream.post(&server, 50).await;
        assert_eq!(status, 200, "there is room again: {answer}");
        stream.predicts(&server).await;
        stream.is_whole(&server).await;
    }
    assert_eq!(server.terminate(), Some(0));
    let server = Process::start(&disk.0.join("data"));
    stream.is_whole(&server).await;
    assert_eq!(server.terminate(), Some(0));
}

/// The largest file under a folder.
fn largest(data: &Path) -> u64 {
    let files = std::fs::read_dir(data).expect("readable").map(|entry| entry.expect("readable"));
    files.map(|file| file.metadata().expect("readable").len()).max().expect("a file")
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_may_not_grow_refuse_writes_and_everything_goes_on_once_they_may() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    // A write beyond the limit must fail instead of ending the process: the signal is passed over by what `sh` starts.
    let server = Process::start_by(&["sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh"], &data);
    let mut stream = Stream::start(&server).await;
    let limit = |bytes: Option<u64>| {
        let limit = Rlimit { current: bytes, maximum: None };
        rustix::process::prlimit(Some(server.pid()), Resource::Fsize, limit).expect("the limit is set");
    };
    limit(Some(largest(&data)));
    let mut refused = None;
    for _ in 0..400 {
        let (status, answer) = stream.post(&server, 50).await;
        if status != 200 {
            refused = Some((status, answer));
            break;
        }
    }
    let (status, answer) = refused.expect("no file may grow");
    let code = answer["code"].as_str().expect("a code").to_owned();
    assert!([(503, "storage_unavailable"), (507, "storage_full")].contains(&(status, code.as_str())), "{answer}");
    stream.predicts(&server).await;

    limit(None);
    let (status, answer) = stream.post(&server, 50).await;
    assert_eq!(status, 200, "files may grow again: {answer}");
    stream.is_whole(&server).await;
    assert_eq!(server.terminate(), Some(0));
}
