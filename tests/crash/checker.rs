//! What must be true: after every kill of what is on disk, after every start of what is served, at the end of everything.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use perennial::registry::VersionId;
use perennial::store::SqliteStore;
use perennial::stream::LearnerName;
use perennial::training::Store;
use serde_json::Value;

use crate::clients::{Shared, predict_live};
use crate::learners::{DOOMED, SUBJECTS, Subject};
use crate::process::{Gone, PATIENCE, Server, binary};

/// Why a look at a life was broken off.
#[derive(Debug)]
pub enum End {
    /// The server is gone, as it should be.
    Gone,
    /// Something is wrong.
    Fault(String),
}

impl From<Gone> for End {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

impl From<String> for End {
    fn from(fault: String) -> Self {
        Self::Fault(fault)
    }
}

/// What a killed server had committed of a learner.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Committed {
    pub head: u64,
    pub trained: u64,
    pub position: u64,
    pub versions: u64,
    pub live: u64,
}

/// What every learner had committed.
pub type State = BTreeMap<Subject, Committed>;

/// Reads what is on disk from a copy, so that the next server finds the files, and what is in the log, as the killed one
/// left them; and holds it against what was there before and what was served since.
pub async fn after_kill(data: &Path, copy: &Path, before: &State, shared: &Shared) -> Result<State, String> {
    std::fs::create_dir_all(copy).map_err(|error| error.to_string())?;
    for file in ["perennial.db", "perennial.db-wal"] {
        let to = copy.join(file);
        match std::fs::copy(data.join(file), &to) {
            Ok(_) => {}
            Err(_) if file.ends_with("wal") => drop(std::fs::remove_file(&to)),
            Err(error) => return Err(format!("{file} cannot be copied: {error}")),
        }
    }
    drop(std::fs::remove_file(copy.join("perennial.db-shm")));
    let store = SqliteStore::open_to_read(&copy.join("perennial.db")).await.map_err(|error| error.to_string())?;
    let mut state = State::new();
    for subject in SUBJECTS {
        let earlier = before.get(&subject).copied().unwrap_or_default();
        let committed = committed(&store, subject, earlier).await?;
        let served = shared.facts().served.get(&subject).copied().unwrap_or_default();
        judge(subject, earlier, committed, served)?;
        state.insert(subject, committed);
    }
    store.close().await;
    Ok(state)
}

async fn committed(store: &dyn Store, subject: Subject, earlier: Committed) -> Result<Committed, String> {
    let text = |error: perennial::stream::StoreError| format!("{}: {error}", subject.name());
    let name = LearnerName::parse(subject.name())?;
    let record = store.learner(&name).await.map_err(text)?.ok_or_else(|| format!("{name} is gone"))?;
    let checkpoint =
        store.checkpoint(record.id).await.map_err(text)?.ok_or_else(|| format!("{name}: no checkpoint"))?;
    let live = store.alias(record.id, "live").await.map_err(text)?.ok_or_else(|| format!("{name}: nothing is live"))?;
    for blob in [checkpoint.weights, checkpoint.optimizer] {
        // Its bytes are held against its digest.
        store.get_blob(blob).await.map_err(text)?.ok_or_else(|| format!("{name}: the checkpoint lacks a blob"))?;
    }
    let mut versions = earlier.versions;
    for version in store.versions(record.id, VersionId(versions), 10_000).await.map_err(text)? {
        versions += 1;
        if version.version.0 != versions || version.trained_seq > checkpoint.trained_seq {
            return Err(format!("{name}: version {} stands where {versions} should", version.version));
        }
    }
    if checkpoint.last_version.0 != versions {
        return Err(format!(
            "{name}: {versions} versions, the newest of the checkpoint is {}",
            checkpoint.last_version
        ));
    }
    Ok(Committed {
        head: record.head.0,
        trained: checkpoint.trained_seq.0,
        position: checkpoint.position,
        versions,
        live: live.0,
    })
}

/// Nothing goes back, nothing was served that was not committed.
fn judge(subject: Subject, before: Committed, now: Committed, served: u64) -> Result<(), String> {
    let back = now.head < before.head
        || now.trained < before.trained
        || now.position < before.position
        || now.versions < before.versions
        || now.live < before.live;
    if back || now.trained > now.head || now.live > now.versions || now.live < served {
        let name = subject.name();
        return Err(format!("{name}: {before:?} was committed before, {now:?} is now, version {served} was served"));
    }
    Ok(())
}

/// What a server that has just started serves: the same `live` or a newer one, a stream without loss.
pub async fn after_start(server: &Server, state: &State, shared: &Shared) -> Result<(), End> {
    for (&subject, committed) in state {
        let name = subject.name();
        let version = predict_live(shared, server, subject).await?;
        if version < committed.live {
            return Err(format!("{name}: version {version} is served, {} was live", committed.live).into());
        }
        let (status, learner) = server.get(&format!("/v1/learners/{name}")).await?;
        let number = |pointer: &str| learner.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
        let behind = number("/head_seq") < committed.head
            || number("/trained_seq") < committed.trained
            || number("/live/version") < committed.live
            || number("/trained_seq") > number("/head_seq");
        if status != 200 || behind {
            return Err(format!("{name}: {committed:?} was committed, served is {status}: {learner}").into());
        }
        read_on(server, subject, shared).await?;
    }
    let known = shared.facts().doomed;
    let (status, answer) = server.get(&format!("/v1/learners/{DOOMED}")).await?;
    match (known, status) {
        (Some(true) | None, 200) | (Some(false) | None, 404) => Ok(()),
        _ => Err(format!("{DOOMED}: there: {known:?}, but it is answered {status}: {answer}").into()),
    }
}

/// Reads a stream on from where it was read before.
async fn read_on(server: &Server, subject: Subject, shared: &Shared) -> Result<(), End> {
    loop {
        let after = shared.ledger(subject).read_up_to();
        let path = format!("/v1/learners/{}/examples?limit=1000&after={after}", subject.name());
        let (status, page) = server.get(&path).await?;
        let examples = page["examples"].as_array().filter(|_| status == 200);
        let examples = examples.ok_or_else(|| format!("GET {path} was answered {status}: {page}"))?;
        for example in examples {
            shared.ledger(subject).stored(example)?;
        }
        if page["next_after"].is_null() {
            return Ok(());
        }
    }
}

/// Everything has come to rest: all acknowledged, all orders done, the newest settings hold.
pub async fn at_rest(server: &Server, shared: &Shared) -> Result<(), End> {
    for subject in SUBJECTS {
        let learner = rested(server, subject).await?;
        read_on(server, subject, shared).await?;
        shared.ledger(subject).complete()?;
        let rate = learner.pointer("/training/settings/learning_rate").and_then(Value::as_f64);
        let sent = shared.facts().rates.get(&subject).cloned().unwrap_or_default();
        let acked = sent.iter().rposition(|(_, acked)| *acked);
        let possible = &sent[acked.unwrap_or(0)..];
        if acked.is_some() && !possible.iter().any(|(sent, _)| Some(*sent) == rate) {
            return Err(
                format!("{}: the rate is {rate:?}, and the last ones sent are {possible:?}", subject.name()).into()
            );
        }
    }
    let orders = shared.facts().orders.clone();
    for order in orders {
        let (status, ticket) = server.get(&order).await?;
        if status != 200 || ticket["state"] == "planned" {
            return Err(format!("the order {order} is answered {status}: {ticket}").into());
        }
    }
    Ok(())
}

async fn rested(server: &Server, subject: Subject) -> Result<Value, End> {
    // After many kills there may be much to learn: it may take as long as it likes, but must go on.
    let (mut moved, mut at) = (Instant::now(), Value::Null);
    loop {
        let (_, learner) = server.get(&format!("/v1/learners/{}", subject.name())).await?;
        if learner["training"]["state"] == "idle" && learner["trained_seq"] == learner["head_seq"] {
            return Ok(learner);
        }
        let steps = learner["training"]["steps"].clone();
        if steps != at {
            (moved, at) = (Instant::now(), steps);
        }
        if moved.elapsed() > PATIENCE {
            return Err(format!("it does not come to rest: {learner}").into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Lives a learner's life again, undisturbed, with the command that operators have; its report.
pub fn lived_again(data: &Path, subject: Subject) -> Result<Value, String> {
    let output = Command::new(binary())
        .args(["replay", subject.name(), "--json", "--threads", "1", "--data-dir"])
        .arg(data)
        .output()
        .map_err(|error| error.to_string())?;
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if !output.status.success() {
        return Err(format!("{} is another when its life is lived again: {out}{error}", subject.name()));
    }
    serde_json::from_str(&out).map_err(|error| format!("the report cannot be read: {error}"))
}

/// The server's log must know of nothing that went wrong.
pub fn log(path: &Path) -> Result<(), String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    match text.lines().find(|line| line.contains("ERROR") || line.contains("panicked")) {
        Some(line) => Err(format!("the log says: {line}")),
        None => Ok(()),
    }
}
