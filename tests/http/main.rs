//! The HTTP surface against a real server on loopback: SQLite in a temporary folder, real trainers, a real client.

mod bad_input;
mod examples;
mod growth;
mod learners;
mod networks;
mod operations;
mod predict;
mod server;
mod versions;
