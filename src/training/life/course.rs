//! The course of a life lived again: input after input, each result held against the recorded one as it comes.
//!
//! Rests are in no input: where the journal has one run of the gate more than the inputs before that place explain, the
//! learner had come to rest there and what it had learned was measured ([`Trainer::settle`]). That is exact: a rest commits
//! what it measured, with everything before it, before the next input is written.

use std::sync::Arc;

use serde_json::{Value, json};

use super::difference::Difference;
use super::recorded::{Recorded, is_result};
use super::scratch::{Newborn, prepare, version};
use super::{Again, LifeError, Lived, Report};
use crate::registry::{Version, VersionId};
use crate::stream::LearnerId;
use crate::training::environment::Environment;
use crate::training::error::TrainingError;
use crate::training::load::read_progress;
use crate::training::steps::Advance;
use crate::training::store::Store;
use crate::training::trainer::Trainer;
use crate::training::{Checkpoint, JournalEvent, JournalRecord};

/// Journal records of the scratch store read at a time.
const PAGE: usize = 500;

/// A life under way.
struct Course<'a> {
    trainer: Trainer,
    source: &'a dyn Store,
    recorded: &'a Recorded,
    newborn: Newborn,
    /// The recorded inputs' positions.
    positions: Vec<u64>,
    /// Recorded results, and how many of them were lived.
    results: Vec<&'a JournalRecord>,
    lived: usize,
    /// The scratch journal up to here was compared.
    compared: u64,
    commits: u64,
    /// Where the recorded journal has the runs of the gate, and how many of them were lived and committed.
    recorded_gates: Vec<u64>,
    gates: usize,
    versions: u64,
    growths: u64,
}

/// Lives a life again; called off the async runtime.
pub(super) fn live(
    environment: &Arc<Environment>,
    again: &Again<'_>,
    recorded: &Recorded,
) -> Result<Report, LifeError> {
    let source = &*again.source;
    let first = environment.runtime.block_on(version(source, recorded.learner.id, VersionId(1)))?;
    let newborn = prepare(environment, source, recorded, &first)?;
    let lease = environment.store.acquire_lease(newborn.learner, &environment.owner, environment.lease());
    let trainer = Trainer::load(environment, environment.wait(lease)?.ok_or(TrainingError::Leased)?)?;
    let mut course = Course {
        trainer,
        source,
        recorded,
        newborn,
        positions: recorded.inputs().map(|record| record.position).collect(),
        results: recorded.results().collect(),
        lived: 0,
        compared: 0,
        commits: 0,
        recorded_gates: recorded.results().filter(|one| is_gate(&one.event)).map(|one| one.position).collect(),
        gates: 0,
        versions: 0,
        growths: 0,
    };
    let difference = match course.compare_version(0, VersionId(1))? {
        Some(difference) => Some(difference),
        None => course.run(again.onlooker)?,
    };
    Ok(course.report(difference))
}

impl Course<'_> {
    /// Does everything that is recorded, up to the checkpoint or the first difference.
    fn run(&mut self, onlooker: &(dyn Fn(Lived) + Send + Sync)) -> Result<Option<Difference>, LifeError> {
        loop {
            if let Some(difference) = self.compare_results()? {
                return Ok(Some(difference));
            }
            let next = self.trainer.replay.front().map(|record| record.position);
            if let Some(difference) = self.rest_before(self.recorded_position(next))? {
                return Ok(Some(difference));
            }
            onlooker(self.seen());
            let Some(record) = self.trainer.replay.pop_front() else { break };
            self.trainer.begin(record.position, record.event)?;
            self.work()?;
        }
        self.end()
    }

    /// Does the steps of the input that was begun. It may be begun again from the newest commit, with all after that.
    fn work(&mut self) -> Result<(), LifeError> {
        while let Some(mut work) = self.trainer.work.take() {
            match self.trainer.advance(&mut work)? {
                Advance::More => self.trainer.work = Some(work),
                Advance::Complete => self.trainer.complete(work)?,
                Advance::StartNeeded => self.trainer.load_again(work.position)?,
            }
        }
        Ok(())
    }

    /// The place of the recorded journal where an input of the scratch journal stands; without one, the place of the first
    /// input that is not in the checkpoint.
    fn recorded_position(&self, scratch: Option<u64>) -> u64 {
        match scratch {
            Some(position) => self.recorded_at(position),
            None => self.recorded.next_input().map_or(u64::MAX, |record| record.position),
        }
    }

    /// The recorded place of an input; 0 for what stands before the first.
    fn recorded_at(&self, scratch: u64) -> u64 {
        let index = scratch.checked_sub(self.newborn.first_position).and_then(|index| usize::try_from(index).ok());
        index.and_then(|index| self.positions.get(index).copied()).unwrap_or(0)
    }

    /// Comes to rest where the recorded learner did.
    fn rest_before(&mut self, position: u64) -> Result<Option<Difference>, LifeError> {
        let lived = self.gates + self.trainer.results.iter().filter(|event| is_gate(event)).count();
        let Some(&at) = self.recorded_gates.get(lived).filter(|&&at| at < position) else { return Ok(None) };
        if !self.trainer.progress.gate.learned {
            return Ok(Some(Difference::alone(at, "result", "a run of the gate", "nothing to measure")));
        }
        self.trainer.settle()?;
        self.compare_results()
    }

    /// Holds what was committed since the last look against the record.
    fn compare_results(&mut self) -> Result<Option<Difference>, LifeError> {
        if self.commits == self.trainer.commits {
            return Ok(None);
        }
        self.commits = self.trainer.commits;
        let environment = self.trainer.environment.clone();
        loop {
            let page = environment.wait(environment.store.journal(self.newborn.learner, self.compared, &[], PAGE))?;
            let Some(last) = page.last() else { return Ok(None) };
            self.compared = last.position;
            for record in page.iter().filter(|record| is_result(&record.event)) {
                if let Some(difference) = self.compare_result(&record.event)? {
                    return Ok(Some(difference));
                }
            }
        }
    }

    fn compare_result(&mut self, event: &JournalEvent) -> Result<Option<Difference>, LifeError> {
        let Some(&record) = self.results.get(self.lived) else {
            let end = self.recorded.journal.last().map_or(0, |record| record.position);
            return Ok(Some(Difference::alone(end, "result", "nothing", event.kind())));
        };
        let difference =
            Difference::between(record.position, "result", &comparable(&record.event)?, &comparable(event)?);
        if difference.is_some() {
            return Ok(difference);
        }
        self.lived += 1;
        match event {
            JournalEvent::Gate { .. } => self.gates += 1,
            JournalEvent::Grown(_) => self.growths += 1,
            JournalEvent::Published { version, .. } => return self.compare_version(record.position, *version),
            _ => {}
        }
        Ok(None)
    }

    /// Holds a version against the recorded one: its documents, and its weights by their digest.
    fn compare_version(&mut self, position: u64, number: VersionId) -> Result<Option<Difference>, LifeError> {
        let environment = &self.trainer.environment;
        let of = |store: &dyn Store, learner: LearnerId| -> Result<Value, LifeError> {
            let version = environment.runtime.block_on(version(store, learner, number))?;
            let Version { version, parent, cause, trained_seq, model, metrics, digest, .. } = version;
            let (model, metrics) = (value(&model)?, value(&metrics)?);
            Ok(json!({
                "version": version,
                "parent": parent,
                "cause": cause,
                "trained_seq": trained_seq,
                "digest": digest,
                "model": model,
                "metrics": metrics,
            }))
        };
        let recorded = of(self.source, self.recorded.learner.id)?;
        let lived = of(&*environment.store, self.newborn.learner)?;
        self.versions += 1;
        Ok(Difference::between(position, &format!("version {number}"), &recorded, &lived))
    }

    /// Every input is done: what is left of the record is a growth that a round begins with, and the checkpoint. A life of
    /// which only a part can be lived again ends in its midst.
    fn end(&mut self) -> Result<Option<Difference>, LifeError> {
        let whole = self.recorded.corrected.is_none();
        if whole {
            self.grow_into_next_round()?;
        }
        if self.trainer.changed {
            self.trainer.checkpoint()?;
        }
        let difference = self.compare_results()?;
        if difference.is_some() || !whole {
            return Ok(difference);
        }
        if let Some(&record) = self.results.get(self.lived) {
            return Ok(Some(Difference::alone(record.position, "result", record.event.kind(), "nothing")));
        }
        self.compare_checkpoint()
    }

    /// The checkpoint may be the commit of a growth that the stream asked for: then it stands before its round, and is grown.
    fn grow_into_next_round(&mut self) -> Result<(), TrainingError> {
        let until = self.recorded.checkpoint.last_version;
        let next = self.recorded.next_input().map(|record| &record.event);
        let Some(&JournalEvent::Round { first, last }) = next else { return Ok(()) };
        if self.trainer.last_version >= until {
            return Ok(());
        }
        let places = self.trainer.rows.range(first, last)?;
        let examples: Vec<_> = places.into_iter().filter_map(|(_, row)| row).collect();
        for adopted in self.trainer.news(&examples) {
            if self.trainer.last_version >= until {
                break;
            }
            self.trainer.adopt(adopted)?;
        }
        Ok(())
    }

    fn compare_checkpoint(&self) -> Result<Option<Difference>, LifeError> {
        let environment = &self.trainer.environment;
        let lived = environment.wait(environment.store.checkpoint(self.newborn.learner))?;
        let lived = lived.ok_or_else(|| LifeError::Broken("the scratch store lost its checkpoint".into()))?;
        let position = self.recorded.checkpoint.position;
        let mut recorded = self.recorded.checkpoint.clone();
        // As this build understands it: an earlier one wrote nothing of what it did not know.
        recorded.progress = value(&read_progress(&recorded)?)?;
        let recorded = value(&recorded)?;
        let lived = value(&Checkpoint { position: self.recorded_at(lived.position), ..lived })?;
        Ok(Difference::between(position, "checkpoint", &recorded, &lived))
    }

    fn seen(&self) -> Lived {
        let of = self.positions.len() as u64;
        let left = self.trainer.replay.len() as u64;
        Lived { inputs: of - left.min(of), of, seq: self.trainer.trained_seq }
    }

    fn report(&self, difference: Option<Difference>) -> Report {
        Report {
            learner: self.recorded.learner.document.name.clone(),
            position: self.recorded.until,
            corrected: self.recorded.corrected,
            trained_seq: self.trainer.trained_seq,
            inputs: self.seen().inputs,
            results: self.lived as u64,
            versions: self.versions,
            growths: self.growths,
            steps: self.trainer.learned.steps(),
            difference,
        }
    }
}

fn is_gate(event: &JournalEvent) -> bool {
    matches!(event, JournalEvent::Gate { .. })
}

/// A result without what a clock said of it.
fn comparable(event: &JournalEvent) -> Result<Value, LifeError> {
    let mut document = value(event)?;
    if let Value::Object(members) = &mut document {
        members.remove("seconds");
    }
    Ok(document)
}

fn value<T: serde::Serialize>(document: &T) -> Result<Value, LifeError> {
    serde_json::to_value(document).map_err(|error| LifeError::Broken(format!("a document cannot be written: {error}")))
}
