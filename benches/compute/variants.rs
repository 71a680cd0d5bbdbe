//! The ways in which PyTorch is asked to do a line; the best of them is what we are compared with.
//!
//! The words are those that `benches/peers/torch_variants.py` explains.

use std::fmt;

use super::lines::{Line, Task};

/// What malloc of the peer's process does with what is freed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malloc {
    /// As glibc does by itself: large blocks go back to the system and are faulted in anew.
    Plain,
    /// It keeps everything.
    Keeping,
}

/// One way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    pub words: &'static [&'static str],
    pub malloc: Malloc,
}

impl Variant {
    fn has(&self, word: &str) -> bool {
        self.words.contains(&word)
    }

    /// Whether PyTorch compiles the network first, which takes from seconds to minutes.
    pub fn compiles(&self) -> bool {
        self.words.iter().any(|word| word.starts_with("compile") || *word == "max_autotune")
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keeping = (self.malloc == Malloc::Keeping).then_some("keeping malloc");
        let words: Vec<&str> = self.words.iter().copied().chain(keeping).collect();
        formatter.write_str(&if words.is_empty() { "default".into() } else { words.join(", ") })
    }
}

/// Each with the malloc that it is run under.
const TRAIN: [(&[&str], Malloc); 14] = [
    (&[], Malloc::Plain),
    (&["fused"], Malloc::Plain),
    (&["channels_last"], Malloc::Plain),
    (&["channels_last", "fused"], Malloc::Plain),
    (&["fused", "compile"], Malloc::Plain),
    (&[], Malloc::Keeping),
    (&["fused"], Malloc::Keeping),
    (&["channels_last"], Malloc::Keeping),
    (&["channels_last", "fused"], Malloc::Keeping),
    (&["fused", "compile"], Malloc::Keeping),
    (&["channels_last", "fused", "compile"], Malloc::Keeping),
    (&["fused", "compile", "compile_update"], Malloc::Keeping),
    (&["fused", "max_autotune"], Malloc::Keeping),
    (&["channels_last", "fused", "max_autotune"], Malloc::Keeping),
];

const INFER: [(&[&str], Malloc); 17] = [
    (&[], Malloc::Plain),
    (&["channels_last"], Malloc::Plain),
    (&["frozen"], Malloc::Plain),
    (&["channels_last", "frozen"], Malloc::Plain),
    (&["compile"], Malloc::Plain),
    (&["channels_last", "compile"], Malloc::Plain),
    (&["compile_frozen"], Malloc::Plain),
    (&["channels_last", "compile_frozen"], Malloc::Plain),
    (&[], Malloc::Keeping),
    (&["channels_last"], Malloc::Keeping),
    (&["frozen"], Malloc::Keeping),
    (&["channels_last", "frozen"], Malloc::Keeping),
    (&["compile"], Malloc::Keeping),
    (&["channels_last", "compile"], Malloc::Keeping),
    (&["compile_frozen"], Malloc::Keeping),
    (&["channels_last", "compile_frozen"], Malloc::Keeping),
    (&["max_autotune"], Malloc::Keeping),
];

/// Every way that makes sense for a line.
pub fn of(line: &Line) -> Vec<Variant> {
    let all: &[(&[&str], Malloc)] = if line.task == Task::Train { &TRAIN } else { &INFER };
    let variants = all.iter().map(|&(words, malloc)| Variant { words, malloc });
    variants.filter(|variant| line.has_images() || !variant.has("channels_last")).collect()
}
