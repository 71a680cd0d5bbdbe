//! The feed of changes: what a store tells whoever follows it, in this process or another.
//!
//! A feed is a hint, never the truth: a change may be told late, twice, together with others, or not at all where
//! something broke ([`Change::Missed`] says so where that is known). Whoever follows reads the store for what holds, and
//! looks at everything now and then without being told.

use std::fmt;

use tokio::sync::broadcast;

use crate::stream::LearnerId;

/// Changes that may wait for a follower that is slow; then they are [`Change::Missed`].
const WAITING: usize = 1_024;

/// Something was committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Change {
    /// A learner was created or deleted, or its document changed.
    Learner(LearnerId),
    /// A stream has new examples, or corrections of old ones.
    Stream(LearnerId),
    /// An alias of a learner moved, or was pinned or unpinned.
    Alias(LearnerId),
    /// An operator's order came, or is done.
    Order(LearnerId),
    /// A learner's lease was given back.
    Lease(LearnerId),
    /// Anything may have changed.
    Missed,
}

impl fmt::Display for Change {
    /// The form that [`Change::parse`] reads back.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, learner) = match self {
            Self::Learner(learner) => ("learner", learner),
            Self::Stream(learner) => ("stream", learner),
            Self::Alias(learner) => ("alias", learner),
            Self::Order(learner) => ("order", learner),
            Self::Lease(learner) => ("lease", learner),
            Self::Missed => return formatter.write_str("missed"),
        };
        write!(formatter, "{kind}:{}", learner.0)
    }
}

impl Change {
    /// Reads what another process, maybe of another version, wrote: what is not known is [`Change::Missed`].
    pub fn parse(text: &str) -> Self {
        let parsed = text.split_once(':').and_then(|(kind, learner)| {
            let learner = LearnerId(learner.parse().ok()?);
            Some(match kind {
                "learner" => Self::Learner(learner),
                "stream" => Self::Stream(learner),
                "alias" => Self::Alias(learner),
                "order" => Self::Order(learner),
                "lease" => Self::Lease(learner),
                _ => return None,
            })
        });
        parsed.unwrap_or(Self::Missed)
    }
}

/// Where a store tells its changes; cheap to clone.
#[derive(Debug, Clone)]
pub struct ChangeSender(broadcast::Sender<Change>);

impl Default for ChangeSender {
    fn default() -> Self {
        Self(broadcast::Sender::new(WAITING))
    }
}

impl ChangeSender {
    /// Tells everyone who follows now.
    pub fn tell(&self, change: Change) {
        // An error only says that nobody follows.
        drop(self.0.send(change));
    }

    /// Follows from now on.
    pub fn follow(&self) -> Changes {
        Changes(self.0.subscribe())
    }
}

/// One follower of a store's changes.
#[derive(Debug)]
pub struct Changes(broadcast::Receiver<Change>);

impl Changes {
    /// Waits for the next change; `None` once the store is gone.
    pub async fn next(&mut self) -> Option<Change> {
        match self.0.recv().await {
            Ok(change) => Some(change),
            Err(broadcast::error::RecvError::Lagged(_)) => Some(Change::Missed),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_reads_back_and_an_unknown_one_is_missed() {
        let learner = LearnerId(7);
        for change in [
            Change::Learner(learner),
            Change::Stream(learner),
            Change::Alias(learner),
            Change::Order(learner),
            Change::Lease(learner),
            Change::Missed,
        ] {
            assert_eq!(Change::parse(&change.to_string()), change);
        }
        for unknown in ["", "alias", "alias:x", "later:7"] {
            assert_eq!(Change::parse(unknown), Change::Missed);
        }
    }

    #[tokio::test]
    async fn whoever_is_too_slow_is_told_that_changes_were_missed() {
        let sender = ChangeSender::default();
        let mut changes = sender.follow();
        (0..2 * WAITING as i64).for_each(|learner| sender.tell(Change::Stream(LearnerId(learner))));
        assert_eq!(changes.next().await, Some(Change::Missed));
        assert_eq!(changes.next().await, Some(Change::Stream(LearnerId(WAITING as i64))));
        drop(sender);
        (1..WAITING).for_each(|_| drop(changes.0.try_recv()));
        assert_eq!(changes.next().await, None);
    }
}
