//! What a trainer makes visible: checkpoints, the gate, versions, and the way back when the gate keeps refusing.
//!
//! Blobs are written first, under their digest; then one small transaction commits everything that names them. Nothing in
//! memory counts as committed before the store says so.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use super::averages::{self, published};
use super::checkpoint::Checkpoint;
use super::encoded::EncodedRows;
use super::error::TrainingError;
use super::evaluation::Evaluation;
use super::gate::judge;
use super::journal::{GateOutcome, JournalEvent};
use super::learned::Learned;
use super::load::blob;
use super::progress::Progress;
use super::rescale::{Rescaling, rescale};
use super::store::{Commit, NewVersion, TicketOutcome};
use super::trainer::Trainer;
use crate::growth::{self, GrowthRequest, State};
use crate::network::{Parameters, weights};
use crate::registry::{BlobDigest, Cause, LIVE, Model, VersionId, VersionMetrics};
use crate::stream::{Schema, Seq};

/// Commits between two sweeps of what nothing names any more.
const SWEEP_COMMITS: u64 = 16;
/// A checkpoint may take this share of the training time.
pub(super) const CHECKPOINT_SHARE: u32 = 10;
/// The probability that all new classes together get when a set-back brings them into an older network.
pub(super) const NEW_CLASS_PROBABILITY: f64 = 1e-3;

/// The version that was accepted last, loaded for as long as it is measured.
///
/// The gate compares with it and a set-back begins at it, never with what `live` names: operators move `live` as they
/// like, and no move of theirs may change what a trainer learns.
pub(super) struct AcceptedVersion {
    pub version: VersionId,
    pub trained_seq: Seq,
    pub model: Model,
    pub parameters: Parameters,
}

/// A trainer's state, about to be committed.
pub(super) struct Snapshot<'a> {
    pub position: u64,
    pub last_version: VersionId,
    pub accepted: VersionId,
    pub model: &'a Model,
    pub state: &'a State,
    pub progress: &'a Progress,
}

/// The weights files of a state: one and the same where no averages are kept.
pub(super) struct Written {
    /// That of a version of it.
    pub version: BlobDigest,
    /// That of a checkpoint.
    pub checkpoint: BlobDigest,
}

/// What becomes visible together with a checkpoint.
#[derive(Default)]
pub(super) struct Visible {
    pub versions: Vec<NewVersion>,
    /// What is accepted: `live` moves to it unless it is pinned.
    pub live: Option<VersionId>,
    pub journal: Vec<JournalEvent>,
    pub tickets: Vec<TicketOutcome>,
    pub schema: Option<Schema>,
}

impl Trainer {
    /// Measures what would be published of the state against the accepted version on the newest holdout rows.
    pub fn measure(&mut self) -> Result<GateOutcome, TrainingError> {
        let seqs = self.history.newest_holdout(self.trained_seq, self.progress.training.gate_rows);
        let environment = self.environment.clone();
        let examples = self.rows.fetch(&seqs)?;
        self.load_accepted()?;
        let accepted = self.accepted_version.as_ref().ok_or_else(no_accepted_version)?;
        let (model, parameters) = (&self.model, self.learned.published()?);
        let unit = model.targets.scale();
        let (candidate, accepted) = environment.compute(|| {
            let score = |model: &Model, parameters: &Parameters| {
                let rows = EncodedRows::encode(model, examples.iter().map(|example| &**example));
                Evaluation::of(model, parameters, &rows, unit, &environment.device)
            };
            Ok::<_, TrainingError>((score(model, &parameters)?, score(&accepted.model, &accepted.parameters)?))
        })?;
        self.progress.gate.measured(&candidate);
        self.changed = true;
        let outcome = judge(&candidate, &accepted);
        let label = if outcome.passed { "passed" } else { "refused" };
        environment.metrics.gate.with_label_values(&[self.name.as_str(), label]).inc();
        self.results.push(JournalEvent::Gate { seq: self.trained_seq, outcome: outcome.clone() });
        Ok(outcome)
    }

    /// Acts on what the gate found: a new accepted version, or one refusal more.
    pub fn conclude(&mut self, outcome: GateOutcome) -> Result<(), TrainingError> {
        let deserves = self.deserves_to_serve(&outcome);
        // Its weights are held no longer than they are measured: training must not have another copy beside its own.
        self.accepted_version = None;
        if outcome.passed {
            self.progress.gate.refusals = 0;
            return if deserves { self.publish() } else { Ok(()) };
        }
        self.progress.gate.refusals += 1;
        tracing::info!(learner = %self.name, seq = self.trained_seq.0, refusals = self.progress.gate.refusals, reason = outcome.reason, "the gate refused");
        if self.progress.gate.refusals >= self.progress.training.gate_patience {
            self.progress.gate.refusals = 0;
            self.set_back_to_accepted("the gate kept refusing: back to the version accepted last")?;
            return self.checkpoint();
        }
        Ok(())
    }

    /// Nothing is left to do: what was learned since the gate last ran is measured and published, or kept at least. A
    /// refusal here does not count, since how often a learner comes to rest is no property of its stream.
    pub fn settle(&mut self) -> Result<(), TrainingError> {
        if self.progress.gate.learned {
            let outcome = self.measure()?;
            let deserves = self.deserves_to_serve(&outcome);
            self.accepted_version = None;
            if deserves {
                self.publish()?;
            }
        }
        if self.changed { self.checkpoint() } else { Ok(()) }
    }

    /// Whether the state that was just measured is to be accepted: it passed, it is not the accepted version itself, and
    /// where the accepted version knows all rows that it knows, it is better. With no new rows, in quiet hours, there is
    /// no reason to serve anything but the best: not worse is not enough.
    pub fn deserves_to_serve(&self, outcome: &GateOutcome) -> bool {
        let is_accepted = self.progress.is_version && self.progress.parent == self.accepted;
        let accepted_knows_all =
            self.accepted_version.as_ref().is_some_and(|accepted| accepted.trained_seq >= self.trained_seq);
        outcome.passed && !is_accepted && (!accepted_knows_all || outcome.improves())
    }

    /// Commits a checkpoint if the newest one is old enough.
    pub fn checkpoint_if_due(&mut self) -> Result<(), TrainingError> {
        let (at, took) = self.committed;
        let pause = Duration::from_millis(self.environment.config.checkpoint_ms).max(took * CHECKPOINT_SHARE);
        if self.changed && at.elapsed() >= pause { self.checkpoint() } else { Ok(()) }
    }

    /// Commits a checkpoint.
    pub fn checkpoint(&mut self) -> Result<(), TrainingError> {
        let state = self.learned.state()?;
        let snapshot = Snapshot {
            position: self.position,
            last_version: self.last_version,
            accepted: self.accepted,
            model: &self.model,
            state: &state,
            progress: &self.progress,
        };
        let weights = self.put_weights(&state.parameters)?;
        let journal = self.results.clone();
        let took = self.commit(snapshot, weights, Visible { journal, ..Visible::default() })?;
        drop(state);
        self.after_commit(took)
    }

    /// Publishes the state as a new version and accepts it: `live` moves to it, unless an operator pinned it.
    fn publish(&mut self) -> Result<(), TrainingError> {
        let state = self.learned.state()?;
        let written = self.put_state(&state)?;
        let version = VersionId(self.last_version.0 + 1);
        let published = NewVersion {
            version,
            parent: Some(self.progress.parent),
            cause: Cause::Trained,
            trained_seq: self.trained_seq,
            model: self.model.clone(),
            metrics: self.version_metrics(),
            digest: written.version,
        };
        let progress = Progress { parent: version, is_version: true, ..self.progress.clone() };
        let mut journal = self.results.clone();
        journal.push(JournalEvent::Published { version, cause: Cause::Trained, live: true });
        let snapshot = Snapshot {
            position: self.position,
            last_version: version,
            accepted: version,
            model: &self.model,
            state: &state,
            progress: &progress,
        };
        let visible = Visible { versions: vec![published], live: Some(version), journal, ..Visible::default() };
        let took = self.commit(snapshot, written.checkpoint, visible)?;
        drop(state);
        self.progress = progress;
        self.last_version = version;
        self.was_accepted(version)?;
        tracing::info!(learner = %self.name, version = version.0, seq = self.trained_seq.0, "version published");
        self.after_commit(took)
    }

    /// What is known of the state, for a version of it.
    pub fn version_metrics(&self) -> VersionMetrics {
        self.progress.gate.version_metrics(self.progress.progressive.metrics().progressive_accuracy)
    }

    /// The state is a version and was accepted. Whether `live` followed is for the store to say: it decided in the commit.
    pub fn was_accepted(&mut self, version: VersionId) -> Result<(), TrainingError> {
        self.accepted = version;
        self.accepted_version = None;
        let environment = &self.environment;
        let serves = environment.wait(environment.store.alias(self.learner, LIVE))? == Some(version);
        let outcome = if serves { "live" } else { "waiting" };
        environment.metrics.published.with_label_values(&[self.name.as_str(), outcome]).inc();
        Ok(())
    }

    /// Writes the weights files of a state.
    pub fn put_state(&self, state: &State) -> Result<Written, TrainingError> {
        let checkpoint = self.put_weights(&state.parameters)?;
        let version = match published(state) {
            Cow::Borrowed(_) => checkpoint,
            Cow::Owned(averages) => self.put_weights(&averages)?,
        };
        Ok(Written { version, checkpoint })
    }

    /// Writes a weights file; its digest.
    pub fn put_weights(&self, parameters: &Parameters) -> Result<BlobDigest, TrainingError> {
        let bytes = self.environment.compute(|| weights::to_bytes(parameters))?;
        self.environment.wait(self.environment.store.put_blob(&bytes))
    }

    /// Commits a snapshot, whose weights are in the store, with what becomes visible with it; how long it took.
    pub fn commit(
        &self,
        snapshot: Snapshot<'_>,
        weights: BlobDigest,
        visible: Visible,
    ) -> Result<Duration, TrainingError> {
        let started = Instant::now();
        let environment = &self.environment;
        let bytes = environment.compute(|| snapshot.state.optimizer.to_bytes())?;
        let optimizer = environment.wait(environment.store.put_blob(&bytes))?;
        let progress = Progress { steps: snapshot.state.optimizer.step, ..snapshot.progress.clone() };
        let progress = serde_json::to_value(&progress)
            .map_err(|error| TrainingError::Damaged(format!("the progress cannot be written: {error}")))?;
        let checkpoint = Checkpoint {
            position: snapshot.position,
            trained_seq: self.trained_seq,
            last_version: snapshot.last_version,
            accepted: snapshot.accepted,
            model: snapshot.model.clone(),
            weights,
            optimizer,
            progress,
        };
        let Visible { versions, live, journal, tickets, schema } = visible;
        let commit = Commit { checkpoint, versions, live, journal, tickets, schema };
        environment.wait(environment.store.commit(self.fence, commit))?;
        Ok(started.elapsed())
    }

    /// The store has everything: what was buffered for it is done.
    pub fn after_commit(&mut self, took: Duration) -> Result<(), TrainingError> {
        self.results.clear();
        self.changed = false;
        self.committed = (Instant::now(), took);
        self.commits += 1;
        if self.commits.is_multiple_of(SWEEP_COMMITS) {
            let environment = &self.environment;
            environment.wait(environment.store.sweep_weights(self.learner, &environment.retention()))?;
        }
        Ok(())
    }

    /// Sets training back to the accepted version at half the rate. Statistics, classes, categories and features that came since stay:
    /// their outputs and inputs are added to that version's network as they were added before.
    pub fn set_back_to_accepted(&mut self, reason: &str) -> Result<(), TrainingError> {
        self.load_accepted()?;
        let accepted = self.accepted_version.take().ok_or_else(no_accepted_version)?;
        let optimizer = self.progress.training.optimizer;
        let mut state = super::step::first_state(&accepted.model.network, accepted.parameters.clone(), &optimizer)?;
        let mut network = accepted.model.network.clone();
        let inputs = self.model.encoder.shape().elements().saturating_sub(network.input().elements());
        let outputs = self.model.targets.outputs().saturating_sub(network.output_shape().elements());
        let added = [
            (inputs > 0).then_some(GrowthRequest::Inputs { add: inputs }),
            (outputs > 0).then_some(GrowthRequest::Classes {
                add: outputs,
                epsilon: NEW_CLASS_PROBABILITY,
                log_sum_exp: 0.0,
            }),
        ];
        for request in added.into_iter().flatten() {
            let plan = growth::plan(&network, &request, self.progress.training.seed).map_err(|refusal| {
                TrainingError::Damaged(format!("the accepted version cannot be grown: {refusal}"))
            })?;
            state = growth::apply(&plan, &network, &state, &optimizer)?;
            network = plan.student().clone();
        }
        if let Some(rescaling) = Rescaling::between(&accepted.model.targets, &self.model.targets) {
            rescale(&network, &mut state, &rescaling)?;
        }
        let same = network == accepted.model.network && self.model == accepted.model;
        self.progress.parent = accepted.version;
        self.progress.is_version = same;
        state.optimizer.step = self.learned.steps();
        self.model.network = network;
        self.learned = Learned::Tensors(state);
        self.empty_moments(&optimizer)?;
        averages::keep(self.learned.tensors()?, &self.progress.training);
        self.progress.wanted = None;
        self.progress.passes.reopen();
        self.pass_order = None;
        self.changed = true;
        self.set_back_rate(reason);
        Ok(())
    }

    /// Loads the accepted version, unless it is loaded.
    fn load_accepted(&mut self) -> Result<(), TrainingError> {
        if self.accepted_version.as_ref().is_some_and(|loaded| loaded.version == self.accepted) {
            return Ok(());
        }
        let environment = self.environment.clone();
        let version = environment
            .wait(environment.store.version(self.learner, self.accepted))?
            .ok_or_else(no_accepted_version)?;
        let file = blob(&environment, version.digest)?;
        let network = &version.model.network;
        let parameters = environment.compute(|| weights::from_bytes(&file, network, &environment.device))?;
        let (trained_seq, model) = (version.trained_seq, version.model);
        self.accepted_version = Some(AcceptedVersion { version: self.accepted, trained_seq, model, parameters });
        Ok(())
    }
}

fn no_accepted_version() -> TrainingError {
    TrainingError::Damaged("the version that it accepted last is missing".into())
}
