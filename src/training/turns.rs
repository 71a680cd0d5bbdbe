//! Whose turn it is: learners with something to do, first come, first served.
//!
//! A learner stands in the queue at most once and is never run by two threads at a time. Learners with nothing to do are
//! not in here and hold no thread. Used by the supervisor and its threads.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::stream::LearnerId;

/// The queue of turns.
#[derive(Default)]
pub(super) struct TurnQueue {
    state: Mutex<Turns>,
    changed: Condvar,
    ended: Notify,
}

#[derive(Default)]
struct Turns {
    waiting: VecDeque<LearnerId>,
    /// The learners whose turn it is, and whether they were asked for again meanwhile.
    running: BTreeMap<LearnerId, Again>,
    closed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Again {
    No,
    Yes,
}

impl TurnQueue {
    /// Puts a learner at the end of the queue, unless it stands there; one whose turn it is gets another one.
    pub fn push(&self, learner: LearnerId) {
        let mut turns = self.lock();
        if turns.closed {
            return;
        }
        if let Some(again) = turns.running.get_mut(&learner) {
            *again = Again::Yes;
        } else if !turns.waiting.contains(&learner) {
            turns.waiting.push_back(learner);
            self.changed.notify_one();
        }
    }

    /// Waits for the next turn; `None` once the queue is closed.
    pub fn next(&self) -> Option<LearnerId> {
        let mut turns = self.lock();
        loop {
            if turns.closed {
                return None;
            }
            if let Some(learner) = turns.waiting.pop_front() {
                turns.running.insert(learner, Again::No);
                return Some(learner);
            }
            turns = self.changed.wait(turns).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A turn ended.
    pub fn end(&self, learner: LearnerId) {
        let again = self.lock().running.remove(&learner) == Some(Again::Yes);
        if again {
            self.push(learner);
        }
        self.ended.notify_waiters();
    }

    /// Is told of the end of every turn.
    pub fn ended(&self) -> &Notify {
        &self.ended
    }

    /// Takes a learner out of the queue and waits until it is not its turn any more.
    pub async fn remove(&self, learner: LearnerId) {
        loop {
            let ended = self.ended().notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            {
                let mut turns = self.lock();
                turns.waiting.retain(|&other| other != learner);
                match turns.running.get_mut(&learner) {
                    None => return,
                    Some(again) => *again = Again::No,
                }
            }
            ended.await;
        }
    }

    /// Whether a learner waits for its turn or has it.
    pub fn holds(&self, learner: LearnerId) -> bool {
        let turns = self.lock();
        turns.running.contains_key(&learner) || turns.waiting.contains(&learner)
    }

    /// How many learners have something to do.
    pub fn len(&self) -> usize {
        let turns = self.lock();
        turns.running.len() + turns.waiting.len()
    }

    /// No more turns.
    pub fn close(&self) {
        let mut turns = self.lock();
        turns.closed = true;
        turns.waiting.clear();
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Turns> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn learners_take_turns_in_the_order_they_came() {
        let queue = TurnQueue::default();
        for id in [1, 2, 1, 3] {
            queue.push(LearnerId(id));
        }
        let order: Vec<i64> = (0..3).filter_map(|_| queue.next()).map(|learner| learner.0).collect();
        assert_eq!(order, [1, 2, 3]);
    }

    #[test]
    fn a_learner_asked_for_during_its_turn_gets_another_one_behind_the_others() {
        let queue = TurnQueue::default();
        queue.push(LearnerId(1));
        assert_eq!(queue.next(), Some(LearnerId(1)));
        queue.push(LearnerId(1));
        queue.push(LearnerId(2));
        queue.end(LearnerId(1));
        assert_eq!(queue.next(), Some(LearnerId(2)));
        assert_eq!(queue.next(), Some(LearnerId(1)));
    }

    #[test]
    fn a_closed_queue_gives_no_turn() {
        let queue = TurnQueue::default();
        queue.push(LearnerId(1));
        queue.close();
        assert_eq!(queue.next(), None);
        assert!(!queue.holds(LearnerId(1)));
    }

    #[tokio::test]
    async fn removing_waits_for_the_end_of_the_turn() {
        let queue = std::sync::Arc::new(TurnQueue::default());
        queue.push(LearnerId(1));
        assert_eq!(queue.next(), Some(LearnerId(1)));
        queue.push(LearnerId(1));
        let removal = tokio::spawn({
            let queue = queue.clone();
            async move { queue.remove(LearnerId(1)).await }
        });
        tokio::task::yield_now().await;
        assert!(!removal.is_finished());
        queue.end(LearnerId(1));
        removal.await.expect("the removal does not panic");
        assert!(!queue.holds(LearnerId(1)));
    }
}
