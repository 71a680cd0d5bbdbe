//! How the channels of a node's output relate to the channels of its inputs.
//!
//! The relation is to widening what shape inference is to shapes: each op declares its own, and `growth` infers from
//! these declarations alone what a widening touches (the "remapping inference algorithm" that Net2Net §2.4 asks for).

/// The channel relation of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChannelRelation {
    /// Makes `channels` new channels and consumes those of its input (Linear, Conv2d, Embedding, Maxout).
    Produces { channels: usize },
    /// Output channel i is computed from input channel i alone (activations, BatchNorm, pooling, Dropout, depthwise
    /// convolution with multiplier 1).
    Carries,
    /// Makes `channels` new channels in `groups` equal groups, each from the group of the input's channels at its place.
    /// All groups share one mapping, on both sides: what is copied in one is copied in every other (grouped convolution).
    ProducesInGroups { channels: usize, groups: usize },
    /// Carries, but its statistics run across the channels of each of `groups` equal groups, so that every channel must be
    /// copied equally often, within its group (LayerNorm and RMSNorm: one group; GroupNorm).
    CarriesAcross { groups: usize },
    /// The inputs' channels one after the other; one tensor may enter twice (Concat).
    Concatenates,
    /// A range of the input's channels (Split).
    Takes { start: usize, end: usize },
    /// All inputs share one mapping (Add, Mul).
    Unifies,
    /// Every channel becomes a block of `block` consecutive channels (Flatten of C x H x W: block = H * W; depthwise
    /// convolution with a multiplier).
    Expands { block: usize },
    /// Not for widening to change: the network's input.
    Fixed,
}
