//! The leases that this process holds: renewed while their trainers are in memory, and what becomes of one that is lost.
//!
//! A lease is lost when its holder was not heard for longer than it lasts: a process that was stopped, or cut off from its
//! database. What its trainer writes is refused from then on by the fence; here it is let go, so that the process goes on
//! with others. Run by the supervisor.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::learner_slot::LearnerSlot;
use super::store::Fence;
use super::supervisor::Inner;
use crate::stream::StoreError;

impl Inner {
    /// Renews the leases of the trainers in memory, until the supervisor stops.
    pub async fn renew_leases(self: Arc<Self>) {
        let lasts = self.environment.lease();
        let mut ticks = tokio::time::interval(Duration::from_secs(self.environment.config.lease_seconds.max(1)) / 3);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.ending.cancelled() => return,
                _ = ticks.tick() => {}
            }
            for slot in self.slots() {
                let Some(fence) = slot.fence() else { continue };
                match self.environment.store.renew_lease(fence, lasts).await {
                    Ok(()) => {}
                    Err(StoreError::LeaseLost) => self.lost(&slot, fence),
                    Err(error) => tracing::warn!(learner = %slot.name, %error, "lease not renewed"),
                }
            }
        }
    }

    /// The lease is another's, or the learner is deleted: the trainer goes, now if it rests, at the end of its turn otherwise.
    fn lost(self: &Arc<Self>, slot: &Arc<LearnerSlot>, fence: Fence) {
        if slot.fence() != Some(fence) {
            // It was given back meanwhile.
            return;
        }
        slot.lease_lost.store(true, Ordering::Relaxed);
        let (inner, slot) = (self.clone(), slot.clone());
        // Its rows are many allocations: freeing them is not for the async runtime.
        tokio::task::spawn_blocking(move || {
            let Some(mut resting) = slot.resting_trainer() else { return };
            if slot.fence() == Some(fence) {
                resting.take();
                slot.lease_lost.store(false, Ordering::Relaxed);
                inner.let_go(&slot);
                tracing::info!(learner = %slot.name, "the lease was lost: another process trains the learner");
            }
        });
    }

    /// The trainer is out of memory and its lease no longer ours; the fence that it had.
    pub fn let_go(&self, slot: &LearnerSlot) -> Option<Fence> {
        let fence = slot.fence();
        slot.set_fence(None);
        self.residents.remove(slot.learner);
        if !self.share.is_alone() {
            // Whoever trains it next shows it.
            self.environment.metrics.rest(slot.name.as_str());
        }
        fence
    }
}
