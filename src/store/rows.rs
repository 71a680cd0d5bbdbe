//! From rows to values, whatever database they come from.
//!
//! What cannot be read is [`StoreError::Damaged`] and named by its ids, never quoted. Every select names the columns that
//! are read here. For the stores alone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use super::appending::Remembered;
use super::columns::Columns;
use super::failure::{broken_off, damaged};
use super::placement::Standing;
use super::values::{digest, document, number, time};
use crate::registry::retention::Kept;
use crate::registry::{
    Actor, Alias, AliasAction, AliasName, AliasRecord, Ancestor, BlobDigest, Cause, Version, VersionId,
};
use crate::stream::{
    Correction, CorrectionKind, Entry, Label, LearnerId, LearnerName, Seq, StoreError, StoredExample, row_codec,
};
use crate::training::fleet::{Failure, Holder, Overview};
use crate::training::{Checkpoint, GrowthTicket, JournalRecord, LearnerRecord, TicketState};

/// Decodes rows on a thread that may take its time: examples are many, models' documents long.
pub(super) async fn decode<R, T>(
    learner: LearnerId,
    rows: Vec<R>,
    one: fn(LearnerId, &R) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError>
where
    R: Send + 'static,
    T: Send + 'static,
{
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    tokio::task::spawn_blocking(move || rows.iter().map(|row| one(learner, row)).collect()).await.map_err(broken_off)?
}

/// A learner.
pub(super) fn learner(row: &impl Columns) -> Result<LearnerRecord, StoreError> {
    let id = row.integer("id")?;
    let what = format!("learner {id}");
    Ok(LearnerRecord {
        id: LearnerId(id),
        document: document(row.text("document")?, &what)?,
        revision: number(row.integer("revision")?, &what)?,
        created_at: time(row.integer("created_at")?, &what)?,
        head: Seq(number(row.integer("head")?, &what)?),
    })
}

/// Where a learner stands; `at` is the time of the look by the database's clock.
pub(super) fn overview(row: &impl Columns, at: i64) -> Result<Overview, StoreError> {
    let id = row.integer("id")?;
    let what = format!("learner {id}");
    let whole = |column| number(row.optional_integer(column)?.unwrap_or(0), &what);
    // Microseconds from now on; none if it is past.
    let ahead = |column| -> Result<Duration, StoreError> {
        let time = row.optional_integer(column)?.unwrap_or(0);
        Ok(Duration::from_micros(time.saturating_sub(at).max(0).unsigned_abs()))
    };
    let live = whole("live")?;
    let (expires_in, retry_in) = (ahead("expires_at")?, ahead("retry_at")?);
    let text = |column| Ok::<_, StoreError>(row.optional_text(column)?.map(str::to_owned));
    Ok(Overview {
        learner: LearnerId(id),
        name: LearnerName::parse(row.text("name")?).map_err(|_| damaged(&what, "its name is none"))?,
        revision: whole("revision")?,
        head: Seq(whole("head")?),
        trained_seq: Seq(whole("trained_seq")?),
        position: whole("position")?,
        last_version: VersionId(whole("last_version")?),
        live: (live > 0).then_some(VersionId(live)),
        orders: whole("orders")?,
        token: whole("token")?,
        holder: text("owner")?.map(|owner| Holder { owner, expires_in }),
        failure: text("failure")?.map(|kind| Failure { kind, retry_in }),
    })
}

/// A place, and whether a tombstone stands there.
pub(super) fn place(learner: LearnerId, row: &impl Columns) -> Result<(Seq, bool), StoreError> {
    let seq = number(row.integer("seq")?, format_args!("an example of learner {}", learner.0))?;
    Ok((Seq(seq), row.flag("gone")?))
}

/// What stands at a place.
pub(super) fn entry(learner: LearnerId, row: &impl Columns) -> Result<Entry, StoreError> {
    let (seq, label) = labelled(learner, row)?;
    let Some(label) = label else { return Ok(Entry::Deleted(seq)) };
    let values = row_codec::decode(row.bytes("row")?).map_err(|reason| damaged(example_name(learner, seq), reason))?;
    let id = row.optional_words("example_id")?.map(str::to_owned);
    Ok(Entry::Example(StoredExample { seq, id, row: values, label }))
}

/// A place and its label; a tombstone has none.
pub(super) fn labelled(learner: LearnerId, row: &impl Columns) -> Result<(Seq, Option<Label>), StoreError> {
    let (seq, is_deleted) = place(learner, row)?;
    if is_deleted {
        return Ok((seq, None));
    }
    match (row.optional_words("label_class")?, row.optional_real("label_number")?) {
        (Some(class), None) => Ok((seq, Some(Label::Class(class.to_owned())))),
        (None, Some(number)) => Ok((seq, Some(Label::Number(number)))),
        _ => Err(damaged(example_name(learner, seq), "it has not exactly one label")),
    }
}

/// An id and where it stands.
pub(super) fn standing(learner: LearnerId, row: &impl Columns) -> Result<(String, Standing), StoreError> {
    let (seq, is_deleted) = place(learner, row)?;
    let id = row.optional_words("example_id")?;
    let id = id.ok_or_else(|| damaged(example_name(learner, seq), "it has no id"))?;
    Ok((id.to_owned(), if is_deleted { Standing::Deleted(seq) } else { Standing::Stored(seq) }))
}

/// The heads of streams, each with its learner.
pub(super) fn heads<R: Columns>(rows: &[R]) -> Result<BTreeMap<LearnerId, u64>, StoreError> {
    let head = |row: &R| {
        let learner = row.integer("learner_id")?;
        let head = number(row.integer("head")?, format_args!("the head of learner {learner}"))?;
        Ok((LearnerId(learner), head))
    };
    rows.iter().map(head).collect()
}

/// A correction.
pub(super) fn correction(learner: LearnerId, row: &impl Columns) -> Result<Correction, StoreError> {
    let what = format!("a correction of learner {}", learner.0);
    let kind = CorrectionKind::parse(row.text("kind")?).ok_or_else(|| damaged(&what, "its kind is not known"))?;
    Ok(Correction {
        number: number(row.integer("number")?, &what)?,
        seq: Seq(number(row.integer("seq")?, &what)?),
        kind,
        at: time(row.integer("at")?, &what)?,
    })
}

/// What was answered under an idempotency key.
pub(super) fn remembered(learner: LearnerId, row: &impl Columns) -> Result<Remembered, StoreError> {
    let what = format_args!("an answer under an idempotency key of learner {}", learner.0);
    Ok(Remembered { body: row.bytes("body")?.to_vec(), answer: document(row.text("answer")?, what)? })
}

/// A version.
pub(super) fn version(learner: LearnerId, row: &impl Columns) -> Result<Version, StoreError> {
    let version = version_id(learner, row)?;
    let what = version_name(learner, version);
    Ok(Version {
        version,
        parent: parent(row, &what)?,
        cause: document(row.text("cause")?, &what)?,
        trained_seq: Seq(number(row.integer("trained_seq")?, &what)?),
        created_at: time(row.integer("created_at")?, &what)?,
        model: document(row.text("model")?, &what)?,
        metrics: document(row.text("metrics")?, &what)?,
        digest: digest(row.bytes("digest")?, &what)?,
        weights_kept: row.flag("weights_kept")?,
    })
}

/// A version in a lineage.
pub(super) fn ancestor(learner: LearnerId, row: &impl Columns) -> Result<Ancestor, StoreError> {
    let version = version_id(learner, row)?;
    let what = version_name(learner, version);
    Ok(Ancestor {
        version,
        parent: parent(row, &what)?,
        cause: document(row.text("cause")?, &what)?,
        trained_seq: Seq(number(row.integer("trained_seq")?, &what)?),
        created_at: time(row.integer("created_at")?, &what)?,
        metrics: document(row.text("metrics")?, &what)?,
        weights_kept: row.flag("weights_kept")?,
    })
}

/// Why a version exists.
pub(super) fn cause(learner: LearnerId, version: VersionId, text: &str) -> Result<Cause, StoreError> {
    document(text, version_name(learner, version))
}

/// What retention looks at of a version.
pub(super) fn kept(learner: LearnerId, row: &impl Columns) -> Result<Kept, StoreError> {
    let version = version_id(learner, row)?;
    let what = version_name(learner, version);
    Ok(Kept { version, parent: parent(row, &what)?, cause: document(row.text("cause")?, &what)? })
}

/// The version that an alias names.
pub(super) fn aliased(learner: LearnerId, version: i64) -> Result<VersionId, StoreError> {
    Ok(VersionId(number(version, alias_what(learner))?))
}

/// An alias with the time of its newest change.
pub(super) fn alias(learner: LearnerId, row: &impl Columns) -> Result<Alias, StoreError> {
    let waiting = row.optional_integer("waiting")?;
    Ok(Alias {
        name: alias_name(learner, row)?,
        version: aliased(learner, row.integer("version")?)?,
        pinned: row.flag("pinned")?,
        waiting: waiting.map(|waiting| aliased(learner, waiting)).transpose()?,
        generation: number(row.integer("generation")?, alias_what(learner))?,
        changed_at: time(row.integer("at")?, alias_what(learner))?,
    })
}

/// An alias's name.
pub(super) fn alias_name(learner: LearnerId, row: &impl Columns) -> Result<AliasName, StoreError> {
    AliasName::parse(row.text("alias")?).ok_or_else(|| damaged(alias_what(learner), "its name is none"))
}

/// A change in an alias's history.
pub(super) fn alias_change(learner: LearnerId, row: &impl Columns) -> Result<AliasRecord, StoreError> {
    let what = alias_what(learner);
    let version = |column| row.optional_integer(column)?.map(|version| aliased(learner, version)).transpose();
    let action = AliasAction::parse(row.text("action")?);
    Ok(AliasRecord {
        generation: number(row.integer("generation")?, &what)?,
        action: action.ok_or_else(|| damaged(&what, "its change is none that is known"))?,
        from: version("from_version")?,
        to: version("to_version")?,
        pinned: row.flag("pinned")?,
        actor: Actor::stored(row.text("actor")?.to_owned()),
        reason: row.optional_text("reason")?.map(str::to_owned),
        at: time(row.integer("at")?, &what)?,
    })
}

/// A generation of an alias.
pub(super) fn generation(learner: LearnerId, generation: i64) -> Result<u64, StoreError> {
    number(generation, alias_what(learner))
}

/// The version that a checkpoint's trainer accepted last.
pub(super) fn accepted(learner: LearnerId, version: i64) -> Result<VersionId, StoreError> {
    Ok(VersionId(number(version, checkpoint_name(learner))?))
}

/// The digest of a version's weights.
pub(super) fn weights(learner: LearnerId, version: VersionId, bytes: &[u8]) -> Result<BlobDigest, StoreError> {
    digest(bytes, version_name(learner, version))
}

/// A checkpoint.
pub(super) fn checkpoint(learner: LearnerId, row: &impl Columns) -> Result<Checkpoint, StoreError> {
    let what = checkpoint_name(learner);
    Ok(Checkpoint {
        position: number(row.integer("position")?, &what)?,
        trained_seq: Seq(number(row.integer("trained_seq")?, &what)?),
        last_version: VersionId(number(row.integer("last_version")?, &what)?),
        accepted: accepted(learner, row.integer("accepted")?)?,
        model: document(row.text("model")?, &what)?,
        weights: digest(row.bytes("weights")?, &what)?,
        optimizer: digest(row.bytes("optimizer")?, &what)?,
        progress: document(row.text("progress")?, &what)?,
    })
}

/// The blobs that a checkpoint names.
pub(super) fn checkpoint_blobs(learner: LearnerId, row: &impl Columns) -> Result<BTreeSet<BlobDigest>, StoreError> {
    let what = checkpoint_name(learner);
    Ok(BTreeSet::from([digest(row.bytes("weights")?, &what)?, digest(row.bytes("optimizer")?, &what)?]))
}

/// An event's position alone.
pub(super) fn position(learner: LearnerId, row: &impl Columns) -> Result<u64, StoreError> {
    number(row.integer("position")?, format_args!("the journal of learner {}", learner.0))
}

/// An event of the journal.
pub(super) fn event(learner: LearnerId, row: &impl Columns) -> Result<JournalRecord, StoreError> {
    let position = position(learner, row)?;
    let what = format!("event {position} of learner {}", learner.0);
    Ok(JournalRecord { position, at: time(row.integer("at")?, &what)?, event: document(row.text("event")?, &what)? })
}

/// A growth order.
pub(super) fn ticket(learner: LearnerId, row: &impl Columns) -> Result<GrowthTicket, StoreError> {
    let id = row.integer("id")?;
    let what = format!("ticket {id} of learner {}", learner.0);
    let state = Value::from(row.text("state")?);
    Ok(GrowthTicket {
        id: number(id, &what)?,
        order: document(row.text("growth")?, &what)?,
        state: serde_json::from_value(state).map_err(|_| damaged(&what, "an unknown state"))?,
        created_at: time(row.integer("created_at")?, &what)?,
        event: row.optional_text("event")?.map(|event| document(event, &what)).transpose()?,
        refusal: row.optional_text("refusal")?.map(|refusal| document(refusal, &what)).transpose()?,
        failure: row.optional_text("failure")?.map(str::to_owned),
    })
}

/// A ticket's state as its column and documents name it.
pub(super) fn state_text(state: TicketState) -> &'static str {
    match state {
        TicketState::Planned => "planned",
        TicketState::Applied => "applied",
        TicketState::Refused => "refused",
        TicketState::Failed => "failed",
    }
}

fn version_id(learner: LearnerId, row: &impl Columns) -> Result<VersionId, StoreError> {
    Ok(VersionId(number(row.integer("version")?, format_args!("a version of learner {}", learner.0))?))
}

fn parent(row: &impl Columns, what: &str) -> Result<Option<VersionId>, StoreError> {
    row.optional_integer("parent")?.map(|parent| Ok(VersionId(number(parent, what)?))).transpose()
}

fn version_name(learner: LearnerId, version: VersionId) -> String {
    format!("version {version} of learner {}", learner.0)
}

fn alias_what(learner: LearnerId) -> String {
    format!("an alias of learner {}", learner.0)
}

fn checkpoint_name(learner: LearnerId) -> String {
    format!("the checkpoint of learner {}", learner.0)
}

fn example_name(learner: LearnerId, seq: Seq) -> String {
    format!("example {seq} of learner {}", learner.0)
}
