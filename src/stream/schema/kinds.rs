//! The kinds of features that have more to say than a size: texts and points in time.
//!
//! Values of a document, with what holds unless it says otherwise. Used by decoders and the encoder.

use serde::{Deserialize, Serialize};

/// What a `text` feature says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TextFeature {
    /// How many numbers an encoded text has. 1,024 unless set.
    pub buckets: usize,
    /// The fewest and the most words of an n-gram. 1 and 2 if neither these nor those of characters are set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub words: Option<[usize; 2]>,
    /// The fewest and the most characters of an n-gram within a word. None unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub characters: Option<[usize; 2]>,
    /// Whether capital letters stand for small ones. So unless set.
    pub lowercase: bool,
    /// The most characters of a text. 10,000 unless set.
    pub max_chars: usize,
}

impl Default for TextFeature {
    fn default() -> Self {
        Self { buckets: 1_024, words: Some([1, 2]), characters: None, lowercase: true, max_chars: 10_000 }
    }
}

impl TextFeature {
    /// What is said of a text that has more characters than it may.
    pub fn too_long(&self, text: &str) -> Option<String> {
        let fits = text.len() <= self.max_chars || text.chars().nth(self.max_chars).is_none();
        (!fits)
            .then(|| format!("the text has more than the {} characters of the feature's `max_chars`", self.max_chars))
    }
}

/// What a `timestamp` feature says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
pub struct TimestampFeature {
    /// What of a time is told the network. All unless set.
    pub parts: TimeParts,
    /// How far the wall clock that the parts are of goes ahead of UTC. 0 unless set.
    pub offset_minutes: i16,
}

/// Parts of a time, in any order; what is written down has its own ([`TimeParts::in_order`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TimeParts(pub Vec<TimePart>);

impl Default for TimeParts {
    fn default() -> Self {
        Self(TimePart::ALL.to_vec())
    }
}

impl TimeParts {
    /// The parts in the order of their columns, each once.
    pub fn in_order(&self) -> impl Iterator<Item = TimePart> + '_ {
        TimePart::ALL.into_iter().filter(|part| self.0.contains(part))
    }

    /// How many numbers they take.
    pub fn columns(&self) -> usize {
        self.in_order().map(TimePart::columns).sum()
    }
}

/// A part of a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimePart {
    /// Comes round every day.
    TimeOfDay,
    /// Comes round every week.
    DayOfWeek,
    /// Comes round every month.
    DayOfMonth,
    /// Comes round every year.
    DayOfYear,
    /// Never comes round.
    Trend,
}

impl TimePart {
    /// Every part, in the order of their columns.
    pub const ALL: [Self; 5] = [Self::TimeOfDay, Self::DayOfWeek, Self::DayOfMonth, Self::DayOfYear, Self::Trend];

    /// How many numbers it takes.
    pub fn columns(self) -> usize {
        if self == Self::Trend { 1 } else { 2 }
    }
}
