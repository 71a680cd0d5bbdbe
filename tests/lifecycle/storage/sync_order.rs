//! Proof on the real binary that a 2xx for examples leaves after the log is synced.
//!
//! A small C library is compiled and loaded into the server. It notes every write into SQLite's log, every sync of it and
//! every success that is sent, with its place in one order (`shim.c`). Whose examples a write holds and whose answer goes
//! out is told by a mark: it stands in the ids of the examples and, as the request's id, in the head of the answer.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::server::Process;

const CLIENTS: u32 = 12;
const REQUESTS: u32 = 12;

/// Compiles the library.
fn shim(folder: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lifecycle/storage/shim.c");
    let library = folder.join("order.so");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o"]).arg(&library).arg(source).arg("-ldl");
    assert!(compiler.status().expect("a C compiler, which the build needs too").success());
    library
}

/// What the library noted, in order.
#[derive(Debug, PartialEq)]
enum Event {
    /// The header of a frame, and whether a transaction ends with it.
    Frame { commit: bool },
    /// The rest of a frame, with marks in it.
    Page(Vec<u32>),
    /// A sync that ended well, by the place at which it began.
    Synced { began: u64 },
    /// Successes with these marks.
    Answer(Vec<u32>),
}

fn events(log: &str) -> BTreeMap<u64, Event> {
    let marks = |words: &[&str]| words.iter().map(|mark| mark.parse().expect("a mark")).collect();
    let event = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let event = match words[1..] {
            ["W", "frame", ref rest @ ..] => Event::Frame { commit: !rest.is_empty() },
            ["W", "page", ref held @ ..] => Event::Page(marks(held)),
            ["S", began] => Event::Synced { began: began.parse().expect("a place") },
            ["A", ref answered @ ..] => Event::Answer(marks(answered)),
            ["B"] => return None,
            _ => panic!("no event: {line}"),
        };
        Some((words[0].parse().expect("a place"), event))
    };
    log.lines().filter_map(event).collect()
}

/// The marks that were answered, and those whose answer left before a sync that followed the last write of their commit.
fn judge(events: &BTreeMap<u64, Event>) -> (BTreeSet<u32>, BTreeSet<u32>) {
    let mut first_written: BTreeMap<u32, u64> = BTreeMap::new();
    let mut commits: Vec<u64> = Vec::new();
    let mut ends_a_commit = false;
    for (&place, event) in events {
        match event {
            Event::Frame { commit } => ends_a_commit = *commit,
            Event::Page(marks) => {
                for &mark in marks {
                    first_written.entry(mark).or_insert(place);
                }
                if std::mem::take(&mut ends_a_commit) {
                    commits.push(place);
                }
            }
            _ => {}
        }
    }
    let synced_between = |after: u64, before: u64| {
        events.range(after..before).any(|(_, event)| matches!(event, Event::Synced { began } if *began > after))
    };
    let (mut answered, mut early) = (BTreeSet::new(), BTreeSet::new());
    for (&place, event) in events {
        let Event::Answer(marks) = event else { continue };
        for &mark in marks {
            answered.insert(mark);
            let committed = first_written.get(&mark).and_then(|first| commits.iter().find(|&commit| commit >= first));
            if !committed.is_some_and(|&commit| synced_between(commit, place)) {
                early.insert(mark);
            }
        }
    }
    (answered, early)
}

/// Examples whose ids bear the request's mark.
fn body(mark: u32) -> Value {
    let example = |number: u32| {
        let x = f64::from(mark * 31 + number).sin();
        let label = if x > 0.0 { "up" } else { "down" };
        json!({"inputs": {"x": x}, "label": label, "id": format!("mark-{mark:06}-{number}")})
    };
    json!({"examples": (0..1 + mark % 40).map(example).collect::<Vec<_>>()})
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn every_2xx_leaves_after_a_sync_that_follows_the_last_write_of_its_commit() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("order.log");
    let library = shim(folder.path());
    let server = Process::start_with(&folder.path().join("data"), |command| {
        command.env("LD_PRELOAD", &library).env("ORDER_LOG", &log);
    });
    let document = json!({
        "name": "signs",
        "task": {"kind": "classification", "classes": ["down", "up"]},
        "schema": {"features": [{"name": "x", "kind": "numeric"}]},
        "network": {"kind": "mlp", "hidden": [4]},
        "training": {"publish_rows": 400, "steps_per_row": 0.1, "max_passes": 0},
        "policy": {"kind": "manual"},
    });
    let (status, answer) = server.request("POST", "/v1/learners", Some(&document)).await;
    assert_eq!(status, 201, "{answer}");

    // Many at once, so that requests share commits; each client one after the other, so that many commits follow.
    let url = server.url("/v1/learners/signs/examples");
    let clients = (0..CLIENTS).map(|client| {
        let (http, url) = (reqwest::Client::new(), url.clone());
        tokio::spawn(async move {
            for request in 0..REQUESTS {
                let mark = client * REQUESTS + request;
                let post = http.post(&url).header("x-request-id", format!("mark-{mark:06}")).json(&body(mark));
                let answer = post.send().await.expect("an answer");
                assert_eq!(answer.status().as_u16(), 200);
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.expect("its requests were answered");
    }
    server.kill();

    let events = events(&std::fs::read_to_string(&log).expect("the library wrote"));
    let (answered, early) = judge(&events);
    assert_eq!(answered, (0..CLIENTS * REQUESTS).collect(), "every answer was seen");
    assert!(early.is_empty(), "answered before they were synced: {early:?}");
}

#[test]
fn an_answer_without_a_sync_between_is_seen() {
    let judged = |log: &str| judge(&events(log)).1.into_iter().collect::<Vec<u32>>();
    let written = "1 W frame\n2 W page 7\n3 W frame commit\n4 W page 8\n";
    assert!(judged(&format!("{written}5 B\n6 S 5\n7 A 7\n8 A 8\n")).is_empty());
    assert_eq!(judged(&format!("{written}5 A 7\n")), [7], "no sync at all");
    assert_eq!(judged(&format!("{written}5 B\n6 A 7\n7 S 5\n8 A 8\n")), [7], "the sync has not ended");
    assert_eq!(
        judged("1 W frame\n2 W page 7\n3 B\n4 W frame commit\n5 W page\n6 S 3\n7 A 7\n"),
        [7],
        "it began too early"
    );
    assert_eq!(judged("1 W frame\n2 W page 7\n3 B\n4 S 3\n5 A 7\n"), [7], "it was never committed");
    assert_eq!(judged("1 B\n2 S 1\n3 A 7\n"), [7], "it was never written");
}
