//! Growth as a whole: plan, apply and certify over hand-made and random networks.

mod averages;
mod builders;
mod certificates;
mod deeper;
mod drifting;
mod edges;
mod fixtures;
mod forms;
mod gradients;
mod groups;
mod own_op;
mod plans;
mod properties;
mod refusals;
mod training_state;
mod wider;
