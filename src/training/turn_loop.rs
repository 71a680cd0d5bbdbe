//! The trainer threads: a learner's turn after the other, and what becomes of a turn that fails.
//!
//! A panic or an error ends that trainer alone: nothing of it counts that the store does not have.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::error::TrainingError;
use super::learner_slot::LearnerSlot;
use super::showing;
use super::store::Fence;
use super::supervisor::Inner;
use super::trainer::{Trainer, TurnEnd, TurnLimits};
use crate::stream::StoreError;

/// The longest pause after a failure of the store: it may be back at any moment.
const STORE_PAUSE: Duration = Duration::from_secs(5);

impl Inner {
    /// Runs turns until the queue is closed.
    pub fn run_turns(self: Arc<Self>) {
        while let Some(learner) = self.queue.next() {
            if let Some(slot) = self.slot(learner) {
                let run = catch_unwind(AssertUnwindSafe(|| self.run_turn(&slot)));
                if run.is_err() {
                    tracing::error!(learner = %slot.name, "the end of a turn panicked");
                }
            }
            self.queue.end(learner);
        }
    }

    fn run_turn(self: &Arc<Self>, slot: &LearnerSlot) {
        let outcome = catch_unwind(AssertUnwindSafe(|| self.turn(slot)))
            .unwrap_or_else(|panic| Err(TrainingError::Panicked(message(&*panic))));
        match outcome {
            Ok(end) => {
                slot.succeeded();
                if self.gave_back(slot) {
                    return;
                }
                match end {
                    TurnEnd::More => self.queue.push(slot.learner),
                    TurnEnd::Wait(pause) => self.notify_later(slot.learner, pause),
                    TurnEnd::Idle => {}
                }
                self.make_room(slot);
            }
            Err(error) => self.failed(slot, &error),
        }
    }

    fn turn(&self, slot: &LearnerSlot) -> Result<TurnEnd, TrainingError> {
        let mut resident = slot.trainer();
        if slot.lease_lost.swap(false, Ordering::Relaxed) {
            self.let_go(slot);
            *resident = None;
        }
        // A trainer is back in its place only after a turn that went well, whatever ends this one.
        let mut trainer = match resident.take() {
            Some(trainer) => trainer,
            None => Box::new(Trainer::load(&self.environment, self.take_lease(slot)?)?),
        };
        let limits = TurnLimits {
            until: Instant::now() + Duration::from_millis(self.environment.config.turn_ms.max(1)),
            stop: [&self.stopping, &slot.removed],
            wanted_back: &slot.wanted_back,
        };
        let end = trainer.turn(&limits, &|status| {
            showing::show(&self.environment.metrics, slot.name.as_str(), &status);
            slot.show(status);
        })?;
        *resident = Some(trainer);
        Ok(end)
    }

    /// Takes the lease of a learner without a trainer here. From then on it is renewed.
    fn take_lease(&self, slot: &LearnerSlot) -> Result<Fence, TrainingError> {
        let environment = &self.environment;
        let taken = environment.store.acquire_lease(slot.learner, &environment.owner, environment.lease());
        let fence = environment.wait(taken)?.ok_or(TrainingError::Leased)?;
        slot.set_fence(Some(fence));
        environment.metrics.add_learner(slot.name.as_str());
        Ok(fence)
    }

    fn failed(self: &Arc<Self>, slot: &LearnerSlot, error: &TrainingError) {
        slot.trainer().take();
        let fence = self.let_go(slot);
        if slot.removed.load(Ordering::Relaxed) {
            return;
        }
        if matches!(error, TrainingError::Gone) {
            self.forget(slot);
            return;
        }
        if error.is_lease() {
            // Whether another process has it, or it is deleted: a look at the store says so, and when it is free.
            slot.set_elsewhere(true);
            slot.look_again();
            tracing::debug!(learner = %slot.name, %error, "the learner is trained elsewhere");
            return;
        }
        let mut pause = slot.failed();
        if matches!(error, TrainingError::Store(StoreError::Unavailable(_))) {
            pause = pause.min(STORE_PAUSE);
        }
        self.environment.metrics.failures.with_label_values(&[slot.name.as_str()]).inc();
        tracing::error!(learner = %slot.name, %error, pause_seconds = pause.as_secs(), "training failed; it is tried again");
        if let Some(fence) = fence {
            // The lease is of no use without a trainer; if it cannot be given back it runs out.
            let _ = self.environment.wait(self.environment.store.fail_lease(fence, error.kind(), pause));
        }
        slot.pause(pause);
        self.notify_later(slot.learner, pause);
    }

    /// Puts a trainer away that others are to have, if it is at a boundary between inputs: nothing is done twice.
    fn gave_back(&self, slot: &LearnerSlot) -> bool {
        let is_wanted = slot.wanted_back.load(Ordering::Relaxed);
        if is_wanted && slot.trainer().as_ref().is_some_and(|trainer| trainer.work.is_none()) {
            tracing::debug!(learner = %slot.name, "given back for others to take");
            self.put_away(slot);
            return true;
        }
        false
    }

    /// Puts away what is too much to keep in memory.
    fn make_room(&self, slot: &LearnerSlot) {
        for learner in self.residents.touch(slot.learner) {
            let Some(other) = self.slot(learner) else {
                self.residents.remove(learner);
                continue;
            };
            if !self.queue.holds(learner) {
                self.put_away(&other);
            } else if let Some(trainer) = other.resting_trainer().as_mut().and_then(|resting| resting.as_mut()) {
                trainer.rows.clear();
            }
        }
    }

    /// Takes a trainer out of memory: its checkpoint is written, its lease given back.
    pub fn put_away(&self, slot: &LearnerSlot) {
        let Some(mut resting) = slot.resting_trainer() else { return };
        let Some(mut trainer) = resting.take() else { return };
        self.let_go(slot);
        if let Err(error) = trainer.wind_up() {
            tracing::warn!(learner = %slot.name, %error, "a trainer was put away without a checkpoint");
        }
    }
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into())
}
