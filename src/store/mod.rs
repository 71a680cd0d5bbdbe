//! The database behind the traits of `stream`, `registry` and `training`: SQLite here, Postgres beside it later.
//!
//! The invariant of every store: what a call answered `Ok` to is on disk, and what it refused changed nothing. One
//! suite of tests runs over every store. Opened by `cli`; everybody else sees `dyn Store`.

mod failure;
pub mod maintenance;
pub mod migrations;
mod objects;
mod options;
pub mod sqlite;
mod values;

#[cfg(test)]
mod suite;

pub use options::StoreOptions;
pub use sqlite::SqliteStore;
