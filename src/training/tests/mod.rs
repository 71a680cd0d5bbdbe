//! Claims about whole trainers, over the real store: streams in, versions and journal out.

mod fixture;
mod growth;
mod learning;
mod restart;
mod turns;
