//! Networks for the tests of this crate: random ones over every op, and an op of its own file.

use super::graph::NodeId;

mod graphs;
mod squares;

pub use graphs::{Masks, graph};
pub use squares::Squares;

/// The id of this text.
pub fn id(text: &str) -> NodeId {
    NodeId::parse(text).unwrap()
}
