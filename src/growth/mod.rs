//! Growth: function-preserving changes of a network (Net2Net, Chen, Goodfellow, Shlens 2015).
//!
//! [`plan`] says what a request would do, or refuses with a reason; [`apply`] does it to weights and training state;
//! [`certify`] measures that the function stayed. All three are pure functions of their arguments.

pub mod apply;
pub mod certificate;
pub mod plan;
pub mod refusal;
pub mod request;

pub use apply::{GrowthError, State, apply};
pub use certificate::{Certificate, Probe, certify};
pub use plan::{GrowthOp, Plan, TouchedNode, plan};
pub use refusal::Refusal;
pub use request::{Deeper, DeeperKind, Extent, GrowthRequest, Nodes, Split, Wider};
