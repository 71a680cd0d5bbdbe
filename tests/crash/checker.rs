//! What must be true: after every kill of what is on disk, after every start of what is served, at the end of everything.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::MutexGuard;
use std::time::{Duration, Instant};

use perennial::registry::VersionId;
use perennial::stream::LearnerName;
use perennial::training::{LearnerRecord, Store};
use serde_json::Value;

use crate::clients::predict_live;
use crate::drafts::FIRST_CORRECTED;
use crate::learners::{DOOMED, STREAMS, SUBJECTS, Subject};
use crate::ledger::Reader;
use crate::process::{Gone, PATIENCE, Server};
use crate::shared::Shared;
use crate::storage::Storage;

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
    pub corrections: u64,
}

/// What every learner had committed.
pub type State = BTreeMap<Subject, Committed>;

/// Reads what the killed server has left, and holds it against what was there before and what was served since.
pub async fn after_kill(storage: &Storage, before: &State, shared: &Shared) -> Result<State, String> {
    let store = storage.left().await?;
    let mut state = State::new();
    for subject in SUBJECTS {
        let earlier = before.get(&subject).copied().unwrap_or_default();
        let committed = committed(&*store, subject, earlier).await?;
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
    let corrections = corrections(store, &record, earlier.corrections).await?;
    Ok(Committed {
        head: record.head.0,
        trained: checkpoint.trained_seq.0,
        position: checkpoint.position,
        versions,
        live: live.0,
        corrections,
    })
}

/// Corrections are numbered without gaps, and of a stream that nobody corrects there are none.
async fn corrections(store: &dyn Store, learner: &LearnerRecord, after: u64) -> Result<u64, String> {
    let name = &learner.document.name;
    let mut newest = after;
    loop {
        let page = store.corrections(learner.id, newest, 1_000).await.map_err(|error| format!("{name}: {error}"))?;
        if page.is_empty() {
            return Ok(newest);
        }
        for correction in page {
            newest += 1;
            let may_be = Subject::Drafts.name() == name.as_str() && correction.seq.0 > FIRST_CORRECTED;
            if correction.number != newest || correction.seq > learner.head || !may_be {
                return Err(format!("{name}: {correction:?} stands where correction {newest} should"));
            }
        }
    }
}

/// Nothing goes back, nothing was served that was not committed.
fn judge(subject: Subject, before: Committed, now: Committed, served: u64) -> Result<(), String> {
    let back = now.head < before.head
        || now.trained < before.trained
        || now.position < before.position
        || now.versions < before.versions
        || now.live < before.live
        || now.corrections < before.corrections;
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

/// Reads a stream on from where it was read before; one that may have been corrected, from its beginning.
async fn read_on(server: &Server, subject: Subject, shared: &Shared) -> Result<(), End> {
    if subject != Subject::Drafts {
        return read_pages(server, subject, || shared.ledger(subject)).await;
    }
    shared.drafts().read_anew();
    read_pages(server, subject, || shared.drafts()).await?;
    // Nothing of it is on its way while it is read.
    Ok(shared.drafts().complete()?)
}

/// Reads a stream to its end. The reader is not held while a page is on its way: its client writes into it.
async fn read_pages<'s, R: Reader + 's>(
    server: &Server,
    subject: Subject,
    reader: impl Fn() -> MutexGuard<'s, R>,
) -> Result<(), End> {
    loop {
        let after = reader().read_up_to();
        let path = format!("/v1/learners/{}/examples?limit=1000&after={after}", subject.name());
        let (status, page) = server.get(&path).await?;
        let examples = page["examples"].as_array().filter(|_| status == 200);
        let examples = examples.ok_or_else(|| format!("GET {path} was answered {status}: {page}"))?;
        for example in examples {
            reader().stored(example)?;
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
    for subject in STREAMS {
        shared.ledger(subject).complete()?;
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

/// Lives a learner's life again, undisturbed, with the command that operators have; its report. Of a learner whose examples
/// were corrected that is the life before the first of them.
pub fn lived_again(storage: &Storage, subject: Subject) -> Result<Value, String> {
    let (succeeded, out, error) = said(storage, &["replay", subject.name(), "--json", "--threads", "1"])?;
    let report: Value = serde_json::from_str(&out).map_err(|_| format!("no report of a life: {out}{error}"))?;
    let corrected = report["corrected"].as_u64();
    let is_proven = match subject {
        Subject::Drafts => corrected.is_none_or(|seq| seq > FIRST_CORRECTED) && report["difference"].is_null(),
        _ => succeeded,
    };
    if is_proven && (succeeded || corrected.is_some()) {
        return Ok(report);
    }
    Err(format!("{} is another when its life is lived again: {out}{error}", subject.name()))
}

/// Nothing in the database is missing or damaged, says the command that operators have, which reads all of it.
pub fn verified(storage: &Storage) -> Result<(), String> {
    let (succeeded, out, error) = said(storage, &["verify", "--deep"])?;
    if succeeded { Ok(()) } else { Err(format!("the database is not sound: {out}{error}")) }
}

fn said(storage: &Storage, arguments: &[&str]) -> Result<(bool, String, String), String> {
    let output = storage.command(arguments).output().map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((output.status.success(), text(&output.stdout), text(&output.stderr)))
}

/// A log must have none of these words: `ERROR` is what went wrong, but what a database that is away makes go wrong.
pub fn log(path: &Path, words: &[&str]) -> Result<(), String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    match text.lines().find(|line| words.iter().any(|word| line.contains(word))) {
        Some(line) => Err(format!("the log says: {line}")),
        None => Ok(()),
    }
}
