//! The ids of learners and of places in their streams.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A learner's name, as URLs and labels carry it: lower-case letters, digits, `-`, `_` and `.`, up to 64, beginning
/// with a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct LearnerName(Arc<str>);

impl LearnerName {
    /// Reads a name; says what is wrong with one that cannot be.
    pub fn parse(text: &str) -> Result<Self, String> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
        let first = text.chars().next().is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        if !first || text.len() > 64 || !text.chars().all(plain) {
            return Err("a learner's name has 1 to 64 lower-case letters, digits, '-', '_' or '.', and begins with a \
                        letter or digit"
                .into());
        }
        Ok(Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LearnerName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for LearnerName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// A learner's number in the store; never reused, so that a learner that is deleted and created again is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LearnerId(pub i64);

/// A place in a learner's stream: 1 for the first example, without gaps; 0 stands for "before the first".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl fmt::Display for Seq {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_are_taken() {
        for name in ["a", "0", "digits", "fashion-mnist_2.1", &"x".repeat(64)] {
            assert_eq!(LearnerName::parse(name).map(|parsed| parsed.to_string()), Ok(name.to_owned()));
        }
    }

    #[test]
    fn evil_names_are_refused() {
        let evil = [
            "",
            "A",
            "Digits",
            ".",
            "..",
            "-a",
            "_a",
            ".a",
            "a/b",
            "a b",
            "a\0",
            "a\n",
            "ä",
            "a%2f",
            "a\"",
            "a'--",
            "../a",
            "a\u{202e}b",
        ];
        for name in evil.into_iter().chain([&*"x".repeat(65)]) {
            assert!(LearnerName::parse(name).is_err(), "{name:?}");
            let json = serde_json::to_string(name).unwrap();
            assert!(serde_json::from_str::<LearnerName>(&json).is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_name_reads_back_from_json() {
        let name = LearnerName::parse("digits").unwrap();
        assert_eq!(serde_json::to_string(&name).unwrap(), "\"digits\"");
        assert_eq!(serde_json::from_str::<LearnerName>("\"digits\"").unwrap(), name);
    }
}
