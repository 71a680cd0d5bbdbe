//! The network: a directed acyclic graph of nodes with named parameters.
//!
//! Everything here is a value: no I/O, no clock, no hidden randomness. A [`Network`] is always valid: its constructor
//! checks ids, inputs, shapes and sizes, so the rest of the crate never meets a malformed graph.

pub mod builders;
pub mod channels;
pub mod error;
pub mod execute;
pub mod graph;
pub mod initialize;
pub mod loss;
pub mod op;
pub mod ops;
pub mod parameter;
pub mod program;
pub mod reference;
pub mod shape;
pub mod weights;

pub use channels::ChannelRelation;
pub use error::NetworkError;
pub use graph::{Network, Node, NodeId};
pub use op::{FixedSet, Mode, Op};
pub use parameter::{AxisRole, ChannelAxes, ParameterId, ParameterKind, ParameterSpec, Parameters};
pub use shape::Shape;

#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;
