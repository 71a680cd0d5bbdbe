//! A change of an alias about to be written into its history. For the stores alone.

use crate::registry::alias;
use crate::registry::{Actor, Alias, AliasAction, AliasName, AliasOrder, Cause, VersionId};

/// What the history says of a change, besides its generation and its time.
pub(super) struct Entry {
    pub alias: AliasName,
    pub action: AliasAction,
    pub from: Option<VersionId>,
    pub to: Option<VersionId>,
    pub pinned: bool,
    pub actor: Actor,
    pub reason: Option<String>,
}

impl Entry {
    /// `live`, which stands so, moves to a version that the trainer accepted; `cause`: why there is such a version.
    pub fn of_trainer(live: Option<&Alias>, version: VersionId, cause: Option<&Cause>) -> Self {
        Self {
            alias: AliasName::live(),
            action: if live.is_some() { AliasAction::Moved } else { AliasAction::Created },
            from: live.map(|alias| alias.version),
            to: Some(version),
            pinned: false,
            actor: Actor::trainer(),
            reason: cause.map(alias::reason),
        }
    }

    /// An alias that stands so is changed by an order: it becomes this, or goes.
    pub fn of_order(
        now: Option<&Alias>,
        order: &AliasOrder,
        action: AliasAction,
        becomes: Option<(VersionId, bool)>,
    ) -> Self {
        Self {
            alias: order.alias.clone(),
            action,
            from: now.map(|alias| alias.version),
            to: becomes.map(|(version, _)| version),
            pinned: becomes.is_some_and(|(_, pinned)| pinned),
            actor: order.actor.clone(),
            reason: order.reason.clone(),
        }
    }
}
