//! The database behind the traits of `stream`, `registry` and `training`: SQLite in one file, or Postgres.
//!
//! The invariant of every store: what a call answered `Ok` to is on disk, and what it refused changed nothing. One
//! suite of tests runs over every store. What is not SQL is written once, here: how values stand in columns, how rows are
//! read, what becomes of an append. Opened by `cli`; everybody else sees `dyn Store`.

mod alias_entry;
mod appending;
mod blob_bytes;
mod columns;
mod commits;
mod failure;
mod placement;
pub mod postgres;
mod rows;
pub mod sqlite;
mod values;

#[cfg(test)]
mod suite;

pub use postgres::{PostgresOptions, PostgresStore};
pub use sqlite::SqliteStore;
