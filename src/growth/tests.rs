//! Growth as a whole: plan, apply and certify over hand-made and random networks, with ops that only the tests have.

mod builders;
mod certificates;
mod deeper;
mod edges;
mod fixtures;
mod ops;
mod properties;
mod refusals;
mod training_state;
mod wider;
