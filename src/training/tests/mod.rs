//! Claims about whole trainers, over the real store: streams in, versions and journal out; and about steps of whole
//! networks that have grown.

mod aliases;
mod averages;
mod cache;
mod corrections;
mod engine;
mod fixture;
mod fleet;
mod growth;
mod learning;
mod life;
mod newborn;
mod restart;
mod set_back;
mod turns;
