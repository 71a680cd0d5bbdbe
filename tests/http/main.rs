//! The HTTP surface against a real server on loopback: SQLite in a temporary folder, real trainers, a real client.

mod aliases;
mod bad_input;
mod corrections;
mod examples;
mod growth;
mod growth_under_load;
mod learners;
mod load;
mod networks;
mod new_features;
mod new_names;
mod operations;
mod predict;
mod server;
mod streams;
mod texts_and_times;
mod versions;
