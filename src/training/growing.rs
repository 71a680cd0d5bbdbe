//! Growth of a running learner, at a step boundary: plan, apply, certify, and one commit of teacher and student.
//!
//! Nothing in memory changes before the store has everything; a refusal changes nothing but the journal and the order's
//! ticket. A committed growth is never done again: its commit holds the checkpoint.

use std::sync::Arc;
use std::time::Instant;

use super::averages::published;
use super::encoded::EncodedRows;
use super::error::TrainingError;
use super::growth_order::{GrowthOrder, TicketState, Trigger};
use super::journal::{GrowthEvent, JournalEvent};
use super::learned::Learned;
use super::orders::{Adopted, Translated};
use super::progress::Progress;
use super::publish::{Snapshot, Visible};
use super::store::{NewVersion, TicketOutcome};
use super::trainer::Trainer;
use crate::compute::random::{Purpose, Random};
use crate::growth::{self, Certificate, Drift, GrowthError, GrowthOp, Plan, Probe, Refusal, State};
use crate::policy::Reason;
use crate::registry::{Cause, Model, VersionId};
use crate::stream::{Seq, StoredExample};

/// Real rows in a certificate.
const PROBE_ROWS: usize = 256;

/// Who wants a growth, and where the journal may say that it stands once it is committed.
pub(super) struct Origin {
    pub trigger: Trigger,
    pub ticket: Option<u64>,
    pub reasons: Vec<Reason>,
    /// The input that is in the state once the growth is.
    pub position: u64,
}

/// A growth that was done in memory and proved.
struct Grown {
    plan: Plan,
    model: Model,
    state: State,
    certificate: Certificate,
    drift: Option<Drift>,
    seconds: f64,
}

impl Trainer {
    /// Tries a growth that was asked for; what became of it is committed before this returns.
    pub fn execute_order(
        &mut self,
        position: u64,
        order: &GrowthOrder,
        trigger: Trigger,
        ticket: Option<u64>,
    ) -> Result<(), TrainingError> {
        let reasons = match (trigger, self.progress.wanted.take()) {
            (Trigger::Policy, Some(wanted)) => wanted.reasons,
            _ => Vec::new(),
        };
        self.position = position;
        self.changed = true;
        let origin = Origin { trigger, ticket, reasons, position };
        match self.translate(order)? {
            Ok(translated) => self.grow(translated, origin)?,
            Err(refusal) => self.refuse(order.op(), &origin, refusal)?,
        }
        // The order's ticket is answered, and the next one may wait behind it.
        self.look_around()
    }

    /// Gives new classes and categories of the next round their outputs and inputs, before anything is learned of them.
    pub fn grow_for(&mut self, examples: &[Arc<StoredExample>]) -> Result<(), TrainingError> {
        self.news(examples).into_iter().try_for_each(|adopted| self.adopt(adopted))
    }

    /// Gives new names their place, by a growth of its own if the network has no room for them.
    pub fn adopt(&mut self, adopted: Adopted) -> Result<(), TrainingError> {
        let translated = self.adoption(adopted)?;
        if translated.request.is_none() {
            self.model = translated.model;
            self.changed = true;
            return Ok(());
        }
        let origin = Origin { trigger: Trigger::Stream, ticket: None, reasons: Vec::new(), position: self.position };
        self.grow(translated, origin)
    }

    /// Plans, applies, certifies and commits, or refuses.
    fn grow(&mut self, translated: Translated, origin: Origin) -> Result<(), TrainingError> {
        let op = translated.op;
        let outcome = match self.attempt(translated, &origin) {
            Ok(Ok(grown)) => return self.commit_growth(grown, origin),
            Ok(Err(refusal)) => Ok(refusal),
            Err(TrainingError::Growth(error)) => Err(error),
            Err(other) => return Err(other),
        };
        match outcome {
            Ok(refusal) => self.refuse(Some(op), &origin, refusal)?,
            Err(error) => self.fail(op, &origin, &error)?,
        }
        if origin.trigger == Trigger::Stream {
            // Without its output a label cannot be learned: the trainer must not go on as if it had one.
            return Err(TrainingError::Damaged(format!("the stream's growth of {} was refused", op.as_str())));
        }
        Ok(())
    }

    /// Does a growth in memory, beside the state.
    fn attempt(&mut self, translated: Translated, origin: &Origin) -> Result<Result<Grown, Refusal>, TrainingError> {
        let started = Instant::now();
        let Some(request) = translated.request else {
            return Ok(Err(Refusal::Request { reason: "there is nothing to grow".into() }));
        };
        let environment = self.environment.clone();
        let seed = self.growth_seed();
        let network = &self.model.network;
        let plan = match environment.compute(|| Ok::<_, TrainingError>(growth::plan(network, &request, seed)))? {
            Ok(plan) => plan,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let limit = self.progress.policy.max_parameters();
        if plan.parameters_after > limit && origin.trigger != Trigger::Stream {
            return Ok(Err(Refusal::Budget { parameters: plan.parameters_after, limit }));
        }
        let rows = self.probe_rows()?;
        let optimizer = self.progress.training.optimizer;
        let rate = self.progress.rates.rate(&self.progress.training);
        let (network, state) = (&self.model.network, &*self.learned.tensors()?);
        let (plan, grown, certificate, drift) = environment.compute(|| {
            let probe = Probe { rows, seed };
            let plan = growth::measure(plan, network, &state.parameters, &probe)?;
            let grown = growth::apply(&plan, network, state, &optimizer)?;
            // Averages grow by the maps and shares of the weights: what is proved of those that are served holds for both.
            let (teacher, student) = (published(state), published(&grown));
            let student = (plan.student(), &*student);
            let certificate = growth::certify(&plan, (network, &teacher), student, &probe)?;
            let drift = growth::drift(&plan, network, &grown, (&optimizer, &rate), &probe)?;
            Ok::<_, GrowthError>((plan, grown, certificate, drift))
        })?;
        if !certificate.preserved {
            return Ok(Err(not_preserved(&certificate)));
        }
        let model = Model { network: plan.student().clone(), ..translated.model };
        let seconds = started.elapsed().as_secs_f64();
        Ok(Ok(Grown { plan, model, state: grown, certificate, drift, seconds }))
    }

    /// Publishes teacher and student and moves on with the student.
    fn commit_growth(&mut self, grown: Grown, origin: Origin) -> Result<(), TrainingError> {
        let goes_live = self.student_goes_live()?;
        let op = grown.plan.op;
        let mut versions = Vec::new();
        let mut journal = self.results.clone();
        let mut teacher = self.progress.parent;
        let mut last = self.last_version.0;
        let teacher_is_version = self.progress.is_version;
        if !teacher_is_version {
            last += 1;
            teacher = VersionId(last);
            let cause = Cause::Teacher { op };
            journal.push(JournalEvent::Published { version: teacher, cause: cause.clone(), live: false });
            versions.push(NewVersion {
                version: teacher,
                parent: Some(self.progress.parent),
                cause,
                trained_seq: self.trained_seq,
                model: self.model.clone(),
                metrics: self.version_metrics(),
                digest: self.put_weights(&*self.learned.published()?)?,
            });
        }
        let version = VersionId(last + 1);
        let cause = Cause::Growth { op, trigger: origin.trigger.as_str().to_owned() };
        let written = self.put_state(&grown.state)?;
        versions.push(NewVersion {
            version,
            parent: Some(teacher),
            cause: cause.clone(),
            trained_seq: self.trained_seq,
            model: grown.model.clone(),
            metrics: self.version_metrics(),
            digest: written.version,
        });
        let event = GrowthEvent {
            op,
            trigger: origin.trigger,
            ticket: origin.ticket,
            seq: self.trained_seq,
            teacher,
            version,
            network_before: self.model.network.summary(),
            network_after: grown.model.network.summary(),
            plan: grown.plan,
            certificate: grown.certificate,
            drift: grown.drift,
            reasons: origin.reasons,
            seconds: grown.seconds,
        };
        journal.push(JournalEvent::Grown(Box::new(event.clone())));
        journal.push(JournalEvent::Published { version, cause, live: goes_live });
        let mut progress = Progress { parent: version, is_version: true, ..self.progress.clone() };
        match op {
            GrowthOp::Wider | GrowthOp::Deeper => progress.grown(grown.state.optimizer.step),
            // Zero columns and outputs disturb nothing that was measured or is being learned.
            GrowthOp::Inputs | GrowthOp::Classes => {}
        }
        let snapshot = Snapshot {
            position: origin.position,
            last_version: version,
            accepted: if goes_live { version } else { self.accepted },
            model: &grown.model,
            state: &grown.state,
            progress: &progress,
        };
        let tickets = origin.ticket.map(|id| TicketOutcome {
            id,
            state: TicketState::Applied,
            event: Some(event.clone()),
            refusal: None,
            failure: None,
        });
        // New features are accepted by the API from this commit on: no row has them that the student does not take.
        let schema = grown.model.encoder.schema();
        let visible = Visible {
            versions,
            live: goes_live.then_some(version),
            journal,
            tickets: tickets.into_iter().collect(),
            schema: (schema != self.model.encoder.schema()).then(|| schema.clone()),
        };
        let took = self.commit(snapshot, written.checkpoint, visible)?;
        self.model = grown.model;
        self.learned = Learned::Tensors(grown.state);
        self.progress = progress;
        self.pass_order = None;
        self.last_version = version;
        self.after_commit(took)?;
        self.show_growth(&event);
        let kept = self.environment.metrics.published.with_label_values(&[self.name.as_str(), "kept"]);
        kept.inc_by(u64::from(!teacher_is_version) + u64::from(!goes_live));
        if goes_live {
            self.was_accepted(version)?;
        }
        Ok(())
    }

    /// Whether the student is accepted: the teacher is the accepted version, or passes the gate (both compute the same).
    /// Unlike a pass over history, a growth need not be better: what comes after it begins at what it has room for.
    fn student_goes_live(&mut self) -> Result<bool, TrainingError> {
        if self.progress.is_version && self.progress.parent == self.accepted {
            return Ok(true);
        }
        let outcome = self.measure()?;
        self.accepted_version = None;
        Ok(outcome.passed)
    }

    fn show_growth(&self, event: &GrowthEvent) {
        let metrics = &self.environment.metrics;
        let name = self.name.as_str();
        metrics.growths.with_label_values(&[name, event.op.as_str(), event.trigger.as_str()]).inc();
        metrics.growth_seconds.observe(event.seconds);
        metrics.growth_max_rel_diff.with_label_values(&[name]).set(event.certificate.max_rel_diff);
        tracing::info!(
            learner = name,
            op = event.op.as_str(),
            trigger = event.trigger.as_str(),
            seq = event.seq.0,
            version = event.version.0,
            before = event.network_before,
            after = event.network_after,
            max_rel_diff = event.certificate.max_rel_diff,
            "network grown"
        );
    }

    fn refuse(&mut self, op: Option<GrowthOp>, origin: &Origin, refusal: Refusal) -> Result<(), TrainingError> {
        tracing::info!(learner = %self.name, trigger = origin.trigger.as_str(), %refusal, "growth refused");
        if let Some(op) = op {
            self.environment.metrics.growth_refusals.with_label_values(&[self.name.as_str(), op.as_str()]).inc();
        }
        self.results.push(JournalEvent::Refused {
            seq: self.trained_seq,
            op,
            trigger: origin.trigger,
            ticket: origin.ticket,
            refusal: refusal.clone(),
        });
        let (state, failure) = (TicketState::Refused, None);
        self.answer(origin, |id| TicketOutcome { id, state, event: None, refusal: Some(refusal), failure })
    }

    fn fail(&mut self, op: GrowthOp, origin: &Origin, error: &GrowthError) -> Result<(), TrainingError> {
        tracing::error!(learner = %self.name, op = op.as_str(), %error, "growth failed");
        self.environment.metrics.growth_refusals.with_label_values(&[self.name.as_str(), op.as_str()]).inc();
        let failure = Some(error.to_string());
        let state = TicketState::Failed;
        self.answer(origin, |id| TicketOutcome { id, state, event: None, refusal: None, failure })
    }

    /// Commits what became of an order that changed nothing.
    fn answer(&mut self, origin: &Origin, outcome: impl FnOnce(u64) -> TicketOutcome) -> Result<(), TrainingError> {
        if origin.trigger == Trigger::Policy {
            // Asked again at once, the policy would want the same; its refractory period begins instead.
            self.progress.growth_ended();
        }
        let state = self.learned.state()?;
        let snapshot = Snapshot {
            position: origin.position,
            last_version: self.last_version,
            accepted: self.accepted,
            model: &self.model,
            state: &state,
            progress: &self.progress,
        };
        let weights = self.put_weights(&state.parameters)?;
        let tickets = origin.ticket.map(outcome).into_iter().collect();
        let visible = Visible { journal: self.results.clone(), tickets, ..Visible::default() };
        let took = self.commit(snapshot, weights, visible)?;
        drop(state);
        self.after_commit(took)
    }

    /// The seed of the next growth's random choices: another one for each version.
    fn growth_seed(&self) -> u64 {
        let purpose = format!("growth/{}", self.last_version);
        Random::keyed(self.progress.training.seed, Purpose::Shares, self.learned.steps(), &purpose).bits()
    }

    /// The newest learned rows as the teacher's encoder gives them.
    pub fn probe_rows(&mut self) -> Result<Vec<Vec<f32>>, TrainingError> {
        let mut seqs: Vec<Seq> = Vec::new();
        let mut reach = 2 * PROBE_ROWS as u64;
        while seqs.len() < PROBE_ROWS && reach < 4 * self.trained_seq.0.max(PROBE_ROWS as u64) {
            let first = Seq(self.trained_seq.0.saturating_sub(reach) + 1);
            seqs = self.history.learned_between(first, self.trained_seq);
            reach *= 2;
        }
        let newest = &seqs[seqs.len().saturating_sub(PROBE_ROWS)..];
        let examples = self.rows.fetch(newest)?;
        let rows = EncodedRows::encode(&self.model, examples.iter().map(|example| &**example));
        let width = rows.shape.elements();
        Ok(rows.values.chunks(width).map(<[f32]>::to_vec).collect())
    }
}

/// The figure of a certificate that is beyond its limit.
fn not_preserved(certificate: &Certificate) -> Refusal {
    let served = (certificate.served_max_rel_diff, certificate.served_limit);
    let decided = (certificate.max_rel_diff, certificate.limit);
    let trained = certificate.train_max_rel_diff.zip(certificate.train_limit).unwrap_or_default();
    let beyond = [decided, served, trained].into_iter().find(|(figure, limit)| figure > limit);
    let (max_rel_diff, limit) = beyond.unwrap_or(decided);
    Refusal::NotPreserved { max_rel_diff, limit }
}
