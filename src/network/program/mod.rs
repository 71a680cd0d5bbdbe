//! Programs: a network compiled for the CPU into a list of kernel calls over one block of memory.
//!
//! Compiling lays every value, gradient and note of a batch at a place of its own for as long as it lives, joins what can be
//! done in one pass, and so leaves nothing to allocate, look up or check while it runs. Trainers run a
//! [`TrainingProgram`], the serving path a [`Servable`]; a node whose op has no kernel runs through its tensors. What a
//! program computes is what [`super::execute`] computes with tensors, on other devices too.

mod arena;
mod layout;
mod lower;
mod plan;
mod servable;
mod tensors;
mod training;

pub use layout::{ParameterLayout, copy as copy_numbers};
pub use servable::Servable;
pub use training::{Gradients, TrainingProgram};

#[cfg(test)]
mod tests;
