//! Growth: function-preserving changes of a network (Net2Net, Chen, Goodfellow, Shlens 2015).
//!
//! [`plan()`] says what a request would do, or refuses with a reason; [`apply()`] does it to weights and training state;
//! [`certify`] measures that the function stayed. All three are pure functions of their arguments.

pub mod apply;
pub mod certificate;
mod classes;
mod deeper;
mod fill;
mod inference;
mod influence;
mod inputs;
mod mapping;
mod nonnegative;
mod pieces;
pub mod plan;
pub mod refusal;
pub mod request;
mod shares;
mod student;
mod transfer;
mod wider;

pub use apply::{GrowthError, State, apply};
pub use certificate::{Certificate, Probe, certify};
pub use plan::{Added, ChannelRange, Fill, GrowthOp, Plan, TouchedNode, UnitGrowth, plan};
pub use refusal::Refusal;
pub use request::{Deeper, DeeperKind, Extent, GrowthRequest, Nodes, Split, Wider};

#[cfg(test)]
mod tests;
