//! Aliases: names that point to versions, who moved them when, and what a pin holds in place.
//!
//! Every change of an alias raises its generation by one and stands in its history under that number, so the history
//! has no gaps, and a generation names one state of one alias for ever, also across a deletion. What a change does is
//! decided here, by pure functions; the stores call them inside the transaction that writes the outcome.

use std::fmt;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::version::{Cause, VersionId};
use crate::stream::StoreError;

/// The alias that predictions use by default and that the trainer moves.
pub const LIVE: &str = "live";

/// The longest name of an alias, in bytes.
const LONGEST_NAME: usize = 64;

/// The longest name of an actor, in characters.
const LONGEST_ACTOR: usize = 64;

/// Who moves aliases without being asked.
const TRAINER: &str = "trainer";

/// Who moves them where nobody says a name.
const OPERATOR: &str = "operator";

/// An alias's name: 1 to 64 lower-case letters, digits, `-` and `_`, not digits alone (that is a version's number).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct AliasName(String);

impl AliasName {
    /// Reads a name; `None` for what cannot be one.
    pub fn parse(text: &str) -> Option<Self> {
        let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
        let sound = (1..=LONGEST_NAME).contains(&text.len()) && text.bytes().all(known);
        (sound && !text.bytes().all(|byte| byte.is_ascii_digit())).then(|| Self(text.to_owned()))
    }

    /// `live`.
    pub fn live() -> Self {
        Self(LIVE.to_owned())
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is `live`.
    pub fn is_live(&self) -> bool {
        self.0 == LIVE
    }
}

impl fmt::Display for AliasName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Who changed an alias: `trainer`, or a person or program by its own word (`operator` if it said none).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Actor(String);

impl Actor {
    /// The trainer.
    pub fn trainer() -> Self {
        Self(TRAINER.to_owned())
    }

    /// Somebody who gave no name.
    pub fn operator() -> Self {
        Self(OPERATOR.to_owned())
    }

    /// Somebody by name: 1 to 64 characters, none of them a control character. `trainer` is nobody's name.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let sound = (1..=LONGEST_ACTOR).contains(&text.chars().count()) && !text.chars().any(char::is_control);
        (sound && !text.eq_ignore_ascii_case(TRAINER)).then(|| Self(text.to_owned()))
    }

    /// What a store has written down.
    pub fn stored(text: String) -> Self {
        Self(text)
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An alias as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alias {
    /// Its name.
    pub name: AliasName,
    /// What it names.
    pub version: VersionId,
    /// Whether it stays there until somebody says otherwise.
    pub pinned: bool,
    /// The newest version that the trainer accepted while it was pinned: what it moves to when it is unpinned.
    pub waiting: Option<VersionId>,
    /// How often it was changed; its place in the history.
    pub generation: u64,
    /// When it was changed last.
    pub changed_at: OffsetDateTime,
}

/// What was done to an alias.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AliasAction {
    /// It was made.
    Created,
    /// It names another version.
    Moved,
    /// It stays where it is from now on.
    Pinned,
    /// It may move again; maybe it moved at once.
    Unpinned,
    /// It is gone.
    Deleted,
}

impl AliasAction {
    /// The name in columns and documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Moved => "moved",
            Self::Pinned => "pinned",
            Self::Unpinned => "unpinned",
            Self::Deleted => "deleted",
        }
    }

    /// Reads [`AliasAction::as_str`] back.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Created, Self::Moved, Self::Pinned, Self::Unpinned, Self::Deleted]
            .into_iter()
            .find(|action| action.as_str() == text)
    }
}

/// One change in an alias's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AliasRecord {
    /// Its place: 1 for the first, without gaps.
    pub generation: u64,
    /// What was done.
    pub action: AliasAction,
    /// What it named before.
    pub from: Option<VersionId>,
    /// What it named afterwards; absent once it is deleted.
    pub to: Option<VersionId>,
    /// Whether it was pinned afterwards.
    pub pinned: bool,
    /// Who did it.
    pub actor: Actor,
    /// Why, in their words.
    pub reason: Option<String>,
    /// When; never before the change before it, whatever the clocks of several machines say.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
}

/// What a change does to a pin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pinning {
    /// The alias is pinned afterwards.
    Pin,
    /// It is not.
    Release,
    /// A pinned alias refuses to move; `live` is pinned when it moves back; else the pin stays as it is.
    Usual,
}

/// What somebody wants of an alias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AliasEdit {
    /// It names this version; it is made if it is not there.
    Move { to: VersionId, pinning: Pinning },
    /// It stays where it is.
    Pin,
    /// It may move again, and moves to what waits for it: `follow`, as far as the asker knows.
    Unpin { follow: Option<VersionId> },
    /// It goes.
    Delete,
}

/// What the alias must be for a change to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// Whatever it is.
    Any,
    /// It is not there.
    Absent,
    /// It is there.
    Present,
    /// It is there in one of these generations.
    Generations(Vec<u64>),
}

/// A change that somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AliasOrder {
    /// Which alias.
    pub alias: AliasName,
    /// What is to be done.
    pub edit: AliasEdit,
    /// What it must be for that.
    pub expected: Expected,
    /// Who asks.
    pub actor: Actor,
    /// Why, in their words.
    pub reason: Option<String>,
    /// The most aliases of the learner.
    pub most: usize,
}

/// Why an alias was not changed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AliasError {
    /// It is not what the asker expected; its generation now.
    #[error("the alias was changed meanwhile")]
    Changed(Option<u64>),
    /// There is no such alias.
    #[error("the learner has no such alias")]
    Unknown,
    /// It is pinned, and the asker said nothing of the pin.
    #[error("the alias is pinned; unpin it, or say with the move what becomes of the pin")]
    Pinned,
    /// Another version waits for it than the asker knows.
    #[error("another version waits for the alias")]
    Waits(Option<VersionId>),
    /// `live` cannot be deleted.
    #[error("`live` cannot be deleted: predictions use it")]
    Reserved,
    /// The learner has as many aliases as it may.
    #[error("a learner has at most {0} aliases")]
    TooMany(usize),
    /// There is no such version.
    #[error("the learner has no version {0}")]
    UnknownVersion(VersionId),
    /// The version's weights were dropped.
    #[error("the weights of version {0} are no longer kept")]
    WeightsGone(VersionId),
    /// The learner is gone.
    #[error("the learner is gone")]
    LearnerGone,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What becomes of an alias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing: it is so already.
    Stays,
    /// It is this from now on.
    Becomes { action: AliasAction, version: VersionId, pinned: bool },
    /// It goes.
    Goes,
}

/// What an order does to an alias that stands so. Whether the version is there is for the store to see.
///
/// # Errors
/// What the order expects is not so, or the alias does not take such a change.
pub fn decide(now: Option<&Alias>, order: &AliasOrder) -> Result<Outcome, AliasError> {
    let generation = now.map(|alias| alias.generation);
    let expected = match &order.expected {
        Expected::Any => true,
        Expected::Absent => now.is_none(),
        Expected::Present => now.is_some(),
        Expected::Generations(known) => generation.is_some_and(|generation| known.contains(&generation)),
    };
    if !expected {
        return Err(AliasError::Changed(generation));
    }
    match (order.edit, now) {
        (AliasEdit::Move { to, pinning }, None) => {
            let pinned = pinning == Pinning::Pin;
            Ok(Outcome::Becomes { action: AliasAction::Created, version: to, pinned })
        }
        (AliasEdit::Move { to, pinning }, Some(alias)) => moved(alias, to, pinning),
        (_, None) => Err(AliasError::Unknown),
        (AliasEdit::Pin, Some(alias)) => {
            let action = AliasAction::Pinned;
            Ok(unless_so(alias, Outcome::Becomes { action, version: alias.version, pinned: true }))
        }
        (AliasEdit::Unpin { .. }, Some(alias)) if !alias.pinned => Ok(Outcome::Stays),
        (AliasEdit::Unpin { follow }, Some(alias)) if follow != alias.waiting => Err(AliasError::Waits(alias.waiting)),
        (AliasEdit::Unpin { follow }, Some(alias)) => {
            let version = follow.unwrap_or(alias.version);
            Ok(Outcome::Becomes { action: AliasAction::Unpinned, version, pinned: false })
        }
        (AliasEdit::Delete, Some(alias)) if alias.name.is_live() => Err(AliasError::Reserved),
        (AliasEdit::Delete, Some(alias)) if alias.pinned => Err(AliasError::Pinned),
        (AliasEdit::Delete, Some(_)) => Ok(Outcome::Goes),
    }
}

fn moved(alias: &Alias, to: VersionId, pinning: Pinning) -> Result<Outcome, AliasError> {
    let pinned = match pinning {
        Pinning::Pin => true,
        Pinning::Release => false,
        Pinning::Usual if alias.pinned && to != alias.version => return Err(AliasError::Pinned),
        Pinning::Usual => alias.pinned || (alias.name.is_live() && to < alias.version),
    };
    let action = match (to == alias.version, pinned) {
        (false, _) => AliasAction::Moved,
        (true, true) => AliasAction::Pinned,
        (true, false) => AliasAction::Unpinned,
    };
    Ok(unless_so(alias, Outcome::Becomes { action, version: to, pinned }))
}

fn unless_so(alias: &Alias, outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Becomes { version, pinned, .. } if version == alias.version && pinned == alias.pinned => {
            Outcome::Stays
        }
        outcome => outcome,
    }
}

/// What waits for an alias once it names `version`: what waited before, as long as it is pinned to another.
pub fn waiting(now: Option<&Alias>, version: VersionId, pinned: bool) -> Option<VersionId> {
    now.and_then(|alias| alias.waiting).filter(|&waiting| pinned && waiting != version)
}

/// Why the trainer moves `live`, for the history: the cause of the version that it moves to.
pub fn reason(cause: &Cause) -> String {
    match cause {
        Cause::Created => "the learner was created".into(),
        Cause::Trained => "it passed the gate".into(),
        Cause::Teacher { op } => format!("the state before a growth: {}", op.as_str()),
        Cause::Growth { op, trigger } => format!("growth: {} ({trigger})", op.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn alias(name: &str, version: u64, pinned: bool) -> Alias {
        Alias {
            name: AliasName::parse(name).unwrap(),
            version: VersionId(version),
            pinned,
            waiting: None,
            generation: 3,
            changed_at: OffsetDateTime::UNIX_EPOCH,
        }
    }

    fn order(alias: &str, edit: AliasEdit) -> AliasOrder {
        AliasOrder {
            alias: AliasName::parse(alias).unwrap(),
            edit,
            expected: Expected::Any,
            actor: Actor::operator(),
            reason: None,
            most: 10,
        }
    }

    fn to(version: u64, pinning: Pinning) -> AliasEdit {
        AliasEdit::Move { to: VersionId(version), pinning }
    }

    fn becomes(outcome: Outcome) -> (AliasAction, u64, bool) {
        match outcome {
            Outcome::Becomes { action, version, pinned } => (action, version.0, pinned),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_name_is_no_number_and_has_nothing_that_a_path_reads_otherwise() {
        for good in ["live", "canary", "a", "2026-01", "v_1", &"x".repeat(64)] {
            assert!(AliasName::parse(good).is_some(), "{good}");
        }
        for bad in ["", "7", "0123", "Live", "a b", "a/b", "ä", "a.b", &"x".repeat(65)] {
            assert!(AliasName::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn nobody_is_called_trainer_but_the_trainer() {
        assert_eq!(Actor::parse(" anna ").unwrap().as_str(), "anna");
        for bad in ["", "trainer", "Trainer ", "a\nb", &"x".repeat(65)] {
            assert!(Actor::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn live_that_moves_back_is_pinned_and_one_that_moves_on_is_not() {
        let live = alias("live", 5, false);
        let back = decide(Some(&live), &order("live", to(3, Pinning::Usual))).unwrap();
        assert_eq!(becomes(back), (AliasAction::Moved, 3, true));
        let on = decide(Some(&live), &order("live", to(7, Pinning::Usual))).unwrap();
        assert_eq!(becomes(on), (AliasAction::Moved, 7, false));
        let released = decide(Some(&live), &order("live", to(3, Pinning::Release))).unwrap();
        assert_eq!(becomes(released), (AliasAction::Moved, 3, false));
        let canary = decide(Some(&alias("canary", 5, false)), &order("canary", to(3, Pinning::Usual))).unwrap();
        assert_eq!(becomes(canary), (AliasAction::Moved, 3, false));
    }

    #[test]
    fn a_pinned_alias_moves_only_for_who_speaks_of_the_pin() {
        let pinned = alias("canary", 5, true);
        assert!(matches!(decide(Some(&pinned), &order("canary", to(6, Pinning::Usual))), Err(AliasError::Pinned)));
        assert!(matches!(decide(Some(&pinned), &order("canary", AliasEdit::Delete)), Err(AliasError::Pinned)));
        let moved = decide(Some(&pinned), &order("canary", to(6, Pinning::Pin))).unwrap();
        assert_eq!(becomes(moved), (AliasAction::Moved, 6, true));
    }

    #[test]
    fn unpinned_it_moves_to_what_waits_and_only_to_what_the_asker_knows() {
        let waiting = Alias { waiting: Some(VersionId(9)), ..alias("live", 5, true) };
        let unpin = |follow: Option<u64>| order("live", AliasEdit::Unpin { follow: follow.map(VersionId) });
        assert!(matches!(decide(Some(&waiting), &unpin(None)), Err(AliasError::Waits(Some(VersionId(9))))));
        assert!(matches!(decide(Some(&waiting), &unpin(Some(8))), Err(AliasError::Waits(Some(VersionId(9))))));
        let followed = decide(Some(&waiting), &unpin(Some(9))).unwrap();
        assert_eq!(becomes(followed), (AliasAction::Unpinned, 9, false));
        let nothing_waits = decide(Some(&alias("live", 5, true)), &unpin(None)).unwrap();
        assert_eq!(becomes(nothing_waits), (AliasAction::Unpinned, 5, false));
    }

    #[test]
    fn live_cannot_be_deleted() {
        let delete = order("live", AliasEdit::Delete);
        assert!(matches!(decide(Some(&alias("live", 5, false)), &delete), Err(AliasError::Reserved)));
    }

    fn edits() -> impl Strategy<Value = AliasEdit> {
        let pinning = prop_oneof![Just(Pinning::Pin), Just(Pinning::Release), Just(Pinning::Usual)];
        prop_oneof![
            (1u64..6, pinning).prop_map(|(version, pinning)| to(version, pinning)),
            Just(AliasEdit::Pin),
            Just(AliasEdit::Unpin { follow: None }),
            Just(AliasEdit::Delete),
        ]
    }

    proptest! {
        #[test]
        fn a_change_that_is_made_twice_changes_nothing_the_second_time(
            edit in edits(), version in 1u64..6, pinned in any::<bool>(), live in any::<bool>(),
        ) {
            let name = if live { "live" } else { "canary" };
            let before = alias(name, version, pinned);
            if let Ok(Outcome::Becomes { version, pinned, .. }) = decide(Some(&before), &order(name, edit)) {
                prop_assert!((version, pinned) != (before.version, before.pinned), "a change changes something");
                let after = Alias { version, pinned, generation: before.generation + 1, ..before };
                prop_assert_eq!(decide(Some(&after), &order(name, edit)).unwrap(), Outcome::Stays);
            }
        }

        #[test]
        fn a_change_for_another_generation_is_refused(
            edit in edits(), known in proptest::collection::vec(0u64..8, 0..4), there in any::<bool>(),
        ) {
            let now = there.then(|| alias("canary", 2, false));
            let fits = there && known.contains(&3);
            let order = AliasOrder { expected: Expected::Generations(known), ..order("canary", edit) };
            let outcome = decide(now.as_ref(), &order);
            prop_assert_eq!(matches!(outcome, Err(AliasError::Changed(_))), !fits);
        }
    }
}
