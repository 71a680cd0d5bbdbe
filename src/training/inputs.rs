//! What a trainer does next, and the durable record of it.
//!
//! Order: what the journal still holds after a restart, corrections of the stream, changed settings, operators' orders, what
//! the policy wants, new rows, and in quiet hours passes over history. Each is in the journal before the trainer acts on it.

use std::time::{Duration, Instant};

use super::averages::{self, Kept};
use super::error::TrainingError;
use super::growth_order::{GrowthOrder, Trigger};
use super::journal::{HeldSettings, JournalEvent};
use super::learned::Learned;
use super::learner::LearnerDocument;
use super::progress::{Progress, Wanted};
use super::trainer::Trainer;
use crate::compute::optimizer::Optimizer;
use crate::growth::GrowthRequest;
use crate::policy;
use crate::stream::Seq;

/// The next thing to do.
pub(super) enum Next {
    /// This input, which stands in the journal at `position`.
    Input { position: u64, event: JournalEvent },
    /// A short tail waits so long for more rows.
    Wait(Duration),
    /// Nothing.
    Nothing,
}

/// What a look at the store found, beside the stream.
#[derive(Debug, Default)]
pub(super) struct Attention {
    /// Settings newer than those that hold.
    pub settings: Option<LearnerDocument>,
    pub revision: u64,
    /// The oldest order of an operator that is still planned.
    pub ticket: Option<(u64, GrowthOrder)>,
    /// The newest place of the stream.
    pub head: Seq,
    /// The newest correction that one input may take along; 0: there is none.
    pub corrections: u64,
}

impl Trainer {
    /// Asks the store for changed settings, orders and new rows.
    pub fn look_around(&mut self) -> Result<(), TrainingError> {
        let environment = self.environment.clone();
        let store = &environment.store;
        let record = environment.wait(store.learner_by_id(self.learner))?.ok_or(TrainingError::Gone)?;
        let ticket = environment.wait(store.next_ticket(self.learner))?;
        self.attention = Attention {
            revision: record.revision,
            settings: (record.revision > self.progress.revision).then_some(record.document),
            ticket: ticket.map(|ticket| (ticket.id, ticket.order)),
            head: environment.wait(store.head(self.learner))?,
            corrections: self.newest_correction()?,
        };
        Ok(())
    }

    /// Decides what is done next and writes it down.
    pub fn next_input(&mut self) -> Result<Next, TrainingError> {
        if let Some(record) = self.replay.pop_front() {
            return Ok(Next::Input { position: record.position, event: record.event });
        }
        let event = match self.choose()? {
            Choice::Input(event) => event,
            Choice::Wait(wait) => return Ok(Next::Wait(wait)),
            Choice::Nothing => return Ok(Next::Nothing),
        };
        let environment = self.environment.clone();
        let position = environment.wait(environment.store.append_journal(self.fence, vec![event.clone()]))?;
        Ok(Next::Input { position, event })
    }

    fn choose(&mut self) -> Result<Choice, TrainingError> {
        // Each is followed by a checkpoint: when corrections come without end, they wait for one to be worth its time.
        let corrected = self.corrections_wait();
        if corrected == Some(Duration::ZERO) {
            return Ok(Choice::Input(JournalEvent::Corrections { through: self.attention.corrections }));
        }
        match (self.choose_among_the_rest()?, corrected) {
            (Choice::Nothing, Some(wait)) => Ok(Choice::Wait(wait)),
            (Choice::Wait(tail), Some(wait)) => Ok(Choice::Wait(tail.min(wait))),
            (choice, _) => Ok(choice),
        }
    }

    fn choose_among_the_rest(&mut self) -> Result<Choice, TrainingError> {
        let newer = self.attention.revision > self.progress.revision;
        if let Some(document) = self.attention.settings.take().filter(|_| newer) {
            let document = serde_json::to_value(&document)
                .map_err(|error| TrainingError::Damaged(format!("the learner's document: {error}")))?;
            let Progress { training, policy, .. } = &self.progress;
            let before = Some(Box::new(HeldSettings { training: training.clone(), policy: policy.clone() }));
            let revision = self.attention.revision;
            return Ok(Choice::Input(JournalEvent::Settings { revision, document, before }));
        }
        if let Some((id, order)) = self.attention.ticket.take() {
            let order = JournalEvent::Order { order, trigger: Trigger::Manual, ticket: Some(id) };
            return Ok(Choice::Input(order));
        }
        if let Some(wanted) = &self.progress.wanted {
            let order = wanted.order.clone();
            return Ok(Choice::Input(JournalEvent::Order { order, trigger: Trigger::Policy, ticket: None }));
        }
        match self.tail()? {
            Tail::Round(last) => {
                return Ok(Choice::Input(JournalEvent::Round { first: Seq(self.trained_seq.0 + 1), last }));
            }
            Tail::Wait(wait) => return Ok(Choice::Wait(wait)),
            Tail::None => {}
        }
        let most = self.progress.training.max_passes;
        Ok(self.progress.passes.next(self.progress.examples, self.trained_seq, most).map_or(Choice::Nothing, |pass| {
            Choice::Input(JournalEvent::Pass { number: pass.number, until: pass.until })
        }))
    }

    /// The new rows that make the next round.
    fn tail(&mut self) -> Result<Tail, TrainingError> {
        let round = self.progress.training.round_rows as u64;
        if self.attention.head.0 < self.trained_seq.0 + round {
            let environment = self.environment.clone();
            self.attention.head = environment.wait(environment.store.head(self.learner))?;
        }
        let first = Seq(self.trained_seq.0 + 1);
        let rows = (self.attention.head.0 + 1).saturating_sub(first.0);
        if rows == 0 {
            self.tail = None;
            return Ok(Tail::None);
        }
        if rows >= round {
            self.tail = None;
            return Ok(Tail::Round(Seq(self.trained_seq.0 + round)));
        }
        let since = match self.tail {
            Some((seq, since)) if seq == first => since,
            _ => Instant::now(),
        };
        self.tail = Some((first, since));
        let wait = Duration::from_millis(self.progress.training.round_wait_ms).saturating_sub(since.elapsed());
        if wait.is_zero() {
            self.tail = None;
            return Ok(Tail::Round(self.attention.head));
        }
        Ok(Tail::Wait(wait))
    }

    /// From here on these settings hold.
    pub fn apply_settings(
        &mut self,
        position: u64,
        revision: u64,
        document: serde_json::Value,
    ) -> Result<(), TrainingError> {
        let document: LearnerDocument = serde_json::from_value(document)
            .map_err(|error| TrainingError::Damaged(format!("settings in the journal: {error}")))?;
        let before = self.progress.training.optimizer;
        if std::mem::discriminant(&before) != std::mem::discriminant(&document.training.optimizer) {
            self.empty_moments(&document.training.optimizer)?;
        }
        if self.progress.training != document.training {
            self.progress.passes.reopen();
        }
        if self.progress.training.schedule != document.training.schedule {
            self.progress.rates.scheduled(self.learned.steps());
        }
        if averages::keep(self.learned.tensors()?, &document.training) == Kept::Dropped {
            // The newest weights are what is published from here on: the gate looks at them as at anything learned.
            self.progress.is_version = false;
            self.progress.gate.learned = true;
        }
        self.task = document.task;
        self.progress.training = document.training;
        self.progress.policy = document.policy;
        self.progress.revision = revision;
        self.progress.wanted = None;
        self.position = position;
        self.changed = true;
        Ok(())
    }

    /// Starts the optimizer's memory anew, every moment born now: every element is warmed up again like a newborn one, as
    /// the first steps of an optimizer that remembers nothing are its least certain. Averages go on from where they stand.
    pub fn empty_moments(&mut self, optimizer: &Optimizer) -> Result<(), TrainingError> {
        let before = self.learned.tensors()?;
        let step = before.optimizer.step;
        let parameters = before.parameters.clone();
        let mut state = super::step::first_state(&self.model.network, parameters, optimizer)?;
        state.optimizer.step = step;
        for (name, moments) in &mut state.optimizer.moments {
            moments.average = before.optimizer.moments.get(name).and_then(|before| before.average.clone());
            for births in [&mut moments.out_births, &mut moments.in_births].into_iter().flatten() {
                births.steps.fill(step);
            }
        }
        self.learned = Learned::Tensors(state);
        Ok(())
    }

    /// Asks the policy, if enough was learned since it was asked or passes have just ended.
    pub fn ask_policy(&mut self) {
        let settled = self.progress.passes.settled();
        if !self.progress.asks_policy() && !settled {
            return;
        }
        self.progress.asked_at = self.progress.examples;
        let signals = self.progress.signals(&self.model.network);
        let decision = policy::decide(&self.progress.policy, &signals, &self.model.network);
        let order = match &decision.grow {
            Some(GrowthRequest::Wider(wider)) => Some(GrowthOrder::Wider(wider.clone())),
            Some(GrowthRequest::Deeper(deeper)) => Some(GrowthOrder::Deeper(deeper.clone())),
            Some(GrowthRequest::Inputs { .. } | GrowthRequest::Classes { .. }) | None => None,
        };
        self.progress.wanted = order.map(|order| Wanted { order, reasons: decision.reasons.clone() });
        if self.progress.keeps(&decision) {
            self.results.push(JournalEvent::Decided { seq: self.trained_seq, decision });
        }
    }
}

enum Choice {
    Input(JournalEvent),
    Wait(Duration),
    Nothing,
}

enum Tail {
    /// The next round ends here.
    Round(Seq),
    /// It waits so long for more rows.
    Wait(Duration),
    /// There are no new rows.
    None,
}
