//! How a supervisor keeps in step with the store: learners that come and go, and what there is to do for which.
//!
//! A learner that another process holds is left alone until its lease has ended or was given back; nobody asks for a lease
//! that cannot be had. A learner that is free is looked at once for every state that it is in. What is decided here is only
//! whether to try: the lease decides who trains.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::changes::Change;
use super::error::TrainingError;
use super::fleet::Overview;
use super::follow::{Follower, Learners};
use super::learner_slot::{LearnerSlot, Looked};
use super::standing::{Awake, dormant};
use super::supervisor::{Inner, Supervisor};
use crate::stream::{LearnerId, StoreError};

#[async_trait]
impl Follower for Supervisor {
    async fn told(&self, change: Change) {
        match change {
            Change::Stream(learner) | Change::Order(learner) | Change::Alias(learner) => self.inner.offer(learner),
            Change::Learner(learner) | Change::Lease(learner) => self.inner.look_at(learner).await,
            Change::Missed => {}
        }
    }

    async fn seen(&self, learners: &Learners) {
        for overview in learners.values() {
            if let Err(error) = self.inner.compare(overview).await {
                tracing::debug!(learner = %overview.name, %error, "the learner is looked at again");
            }
        }
        for slot in self.inner.slots() {
            if !learners.contains_key(&slot.learner) {
                self.inner.look_at(slot.learner).await;
            }
        }
        self.inner.give_back();
    }
}

impl Inner {
    /// There is something new of a learner: its trainer has a turn if it is here or may be.
    fn offer(self: &Arc<Self>, learner: LearnerId) {
        let Some(slot) = self.slot(learner) else { return };
        if slot.fence().is_some() {
            self.queue.push(learner);
        } else if !slot.is_elsewhere() && !slot.is_paused() {
            self.take_soon(&slot);
        }
    }

    /// Looks at one learner of which something was told.
    async fn look_at(self: &Arc<Self>, learner: LearnerId) {
        let looked = async {
            match self.environment.store.overview_of(learner).await? {
                Some(overview) => self.compare(&overview).await,
                None => {
                    self.remove_behind(learner);
                    Ok(())
                }
            }
        };
        if let Err(error) = looked.await {
            tracing::debug!(learner = learner.0, %error, "the learner is looked at again");
        }
    }

    /// Takes a learner up, or compares what the store says of it with what was seen before.
    pub(super) async fn compare(self: &Arc<Self>, overview: &Overview) -> Result<(), StoreError> {
        let Some(slot) = self.slot(overview.learner) else {
            let record = self.environment.store.learner_by_id(overview.learner).await?;
            return match record {
                Some(record) => self.take_up(&record).await,
                None => Ok(()),
            };
        };
        let looked = Looked::at(overview);
        if slot.fence().is_some() {
            if slot.look(looked) {
                self.queue.push(slot.learner);
            }
            return Ok(());
        }
        slot.trained_up_to(overview.token);
        let elsewhere = overview.trained_elsewhere(&self.environment.owner).is_some();
        slot.set_elsewhere(elsewhere);
        if elsewhere {
            // A lease that runs out unused and is renewed keeps its token: when it is free again, that is new.
            slot.look(looked);
            return Ok(());
        }
        if let Some(failure) = overview.failure.as_ref().filter(|failure| !failure.retry_in.is_zero()) {
            slot.pause(failure.retry_in);
            self.take_later(&slot, failure.retry_in);
            return Ok(());
        }
        if slot.is_paused() {
            // A turn comes at the end of the pause.
            return Ok(());
        }
        // What costs little to see is looked at always; the rest once for every state of the learner.
        let obvious = overview.head > overview.trained_seq || overview.orders > 0;
        if slot.look(looked) || obvious {
            let awake = obvious || self.is_awake(&slot).await?;
            if awake {
                self.take_soon(&slot);
            }
        }
        Ok(())
    }

    async fn is_awake(&self, slot: &LearnerSlot) -> Result<bool, StoreError> {
        let store = &self.environment.store;
        let Some(record) = store.learner_by_id(slot.learner).await? else { return Ok(false) };
        match dormant(&**store, &record).await {
            Ok(dormant) => Ok(dormant.awake == Awake::Yes),
            Err(TrainingError::Store(error)) => Err(error),
            // Whoever takes it fails, and says so where everybody sees it.
            Err(_) => Ok(true),
        }
    }

    /// The learner is free and has something to do: it is taken, at once or after some hesitation.
    pub fn take_soon(self: &Arc<Self>, slot: &Arc<LearnerSlot>) {
        let hesitation = self.share.hesitation(self.queue.len());
        if hesitation.is_zero() {
            self.queue.push(slot.learner);
        } else {
            self.take_later(slot, hesitation);
        }
    }

    /// The same after a while, unless somebody else takes it first.
    fn take_later(self: &Arc<Self>, slot: &Arc<LearnerSlot>, pause: Duration) {
        if slot.hesitates.swap(true, Ordering::Relaxed) {
            return;
        }
        let (inner, slot) = (self.clone(), slot.clone());
        self.environment.runtime.spawn(async move {
            let over = tokio::time::timeout(pause, inner.ending.cancelled()).await.is_err();
            slot.hesitates.store(false, Ordering::Relaxed);
            if over && !slot.is_elsewhere() {
                inner.notify(slot.learner);
            }
        });
    }

    /// The learner is deleted: its trainer ends at its next step boundary.
    fn remove_behind(self: &Arc<Self>, learner: LearnerId) {
        if self.slot(learner).is_some() {
            let supervisor = Supervisor { inner: self.clone() };
            self.environment.runtime.spawn(async move { supervisor.remove(learner).await });
        }
    }

    /// Gives back what rests, and one learner of those that others may have time for.
    fn give_back(self: &Arc<Self>) {
        let slots = self.slots();
        for slot in &slots {
            let rested = slot.resting_since().is_some_and(|since| self.share.has_rested(since));
            if rested && slot.fence().is_some() && !self.queue.holds(slot.learner) {
                let (inner, slot) = (self.clone(), slot.clone());
                tokio::task::spawn_blocking(move || inner.put_away(&slot));
            }
        }
        let taken = |learner| self.slot(learner).is_some_and(|slot| slot.is_elsewhere());
        if self.share.is_time_to_give(self.queue.len(), taken) {
            let held = slots.iter().filter(|slot| slot.fence().is_some() && self.queue.holds(slot.learner));
            // The one that was here for longest.
            if let Some(slot) = held.min_by_key(|slot| slot.held_since().unwrap_or_else(Instant::now)) {
                slot.wanted_back.store(true, Ordering::Relaxed);
                self.share.gave(slot.learner);
            }
        }
    }
}
