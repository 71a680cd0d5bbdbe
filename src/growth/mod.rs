//! Growth: function-preserving changes of a network (Net2Net, Chen, Goodfellow, Shlens 2015).
//!
//! [`plan()`] says what a request would do, or refuses with a reason; [`apply()`] does it to weights and training state;
//! [`certify`] measures that the function stayed. All three are pure functions of their arguments. A [`Plan`] is a value:
//! stored, shown, and compared by [`PlanDiff`].

pub mod apply;
pub mod certificate;
mod classes;
mod deeper;
pub mod drift;
mod fill;
mod inference;
mod influence;
mod inputs;
mod mapping;
mod measure;
mod moments;
mod nonnegative;
mod pieces;
pub mod plan;
pub mod plan_diff;
pub mod refusal;
mod regrow;
pub mod request;
mod shares;
mod site;
pub mod step;
mod stored_plan;
mod student;
mod wider;

pub use apply::{GrowthError, State, apply, apply_weights};
pub use certificate::{Certificate, Probe, certify};
pub use drift::{Drift, drift};
pub use measure::measure;
pub use plan::{GrowthOp, NodeChange, Plan, Preserves, TouchedNode, plan};
pub use plan_diff::{Changed, NodeDiff, PlanDiff, StepDiff, StepPart};
pub use refusal::Refusal;
pub use request::{Deeper, DeeperKind, Extent, GrowthRequest, NewNorm, Nodes, Split, Wider};
pub use step::{Added, ChannelRange, ChannelSet, Fill, NewRows, Statistic, Step, UnitGrowth};

#[cfg(test)]
mod tests;
