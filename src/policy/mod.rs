//! When and where a learner grows: a pure function from signals to a decision with reasons.
//!
//! Decisions not to grow are data too: every one is kept in the journal.

pub mod decision;
mod room;
pub mod settings;
pub mod signals;

pub use decision::{Decision, Reason, decide, decide_now};
pub use settings::PolicySettings;
pub use signals::Signals;
#[cfg(test)]
mod tests;
