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
    pub words: Vec<String>,
    pub malloc: Malloc,
}

/// Every one is run under both mallocs, and those that suit no line of a kind are left out there.
const TRAIN: [&str; 7] = [
    "",
    "fused",
    "fused one_thread",
    "channels_last",
    "channels_last fused",
    "fused compile",
    "channels_last fused compile",
];

const INFER: [&str; 9] = [
    "",
    "channels_last",
    "channels_last folded",
    "frozen",
    "frozen one_thread",
    "compile",
    "channels_last compile",
    "compile_frozen",
    "channels_last compile_frozen",
];

/// Every way that makes sense for a line, and `also` where more are asked for, each given as its words.
pub fn of(line: &Line, also: &[String]) -> Vec<Variant> {
    let listed = if line.task == Task::Train { TRAIN.as_slice() } else { &INFER };
    let texts: Vec<&str> = listed.iter().copied().chain(also.iter().map(String::as_str)).collect();
    let under = |malloc| {
        let variant =
            move |text: &&str| Variant { words: text.split_whitespace().map(str::to_owned).collect(), malloc };
        texts.iter().map(variant)
    };
    under(Malloc::Plain).chain(under(Malloc::Keeping)).filter(|variant| variant.suits(line)).collect()
}

impl Variant {
    fn has(&self, word: &str) -> bool {
        self.words.iter().any(|one| one == word)
    }

    /// Memory formats and convolutions to fold are matters of images; on those, two threads are faster than one.
    fn suits(&self, line: &Line) -> bool {
        if line.has_images() { !self.has("one_thread") } else { !self.has("channels_last") }
    }

    /// Whether PyTorch compiles the network first, which takes from seconds to minutes.
    pub fn compiles(&self) -> bool {
        self.words.iter().any(|word| word.starts_with("compile") || word == "max_autotune")
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keeping = (self.malloc == Malloc::Keeping).then_some("keeping malloc");
        let words: Vec<&str> = self.words.iter().map(String::as_str).chain(keeping).collect();
        formatter.write_str(&if words.is_empty() { "default".into() } else { words.join(", ") })
    }
}
