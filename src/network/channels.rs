//! How the channels of a node's output relate to the channels of its inputs.
//!
//! The relation is to widening what shape inference is to shapes: each op declares its own, and `growth` infers from
//! these declarations alone what a widening touches (the "remapping inference algorithm" that Net2Net §2.4 asks for).

/// The channel relation of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChannelRelation {
    /// Makes `channels` new channels and consumes those of its input (Linear, Conv2d).
    Produces { channels: usize },
    /// Output channel i is computed from input channel i alone (activations, BatchNorm, pooling, Dropout).
    Carries,
    /// Carries, but its statistics run across channels, so that every channel must be copied equally often
    /// (LayerNorm, GroupNorm).
    CarriesAcross,
    /// The inputs' channels one after the other; one tensor may enter twice (Concat).
    Concatenates,
    /// A range of the input's channels (Split).
    Takes { start: usize, end: usize },
    /// All inputs share one mapping (Add, Mul).
    Unifies,
    /// Every channel becomes a block of `block` consecutive channels (Flatten of C x H x W: block = H * W).
    Expands { block: usize },
    /// Not for widening to change: the network's input.
    Fixed,
}
