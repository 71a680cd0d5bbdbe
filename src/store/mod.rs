//! The database behind the traits of `stream`, `registry` and `training`: SQLite here, Postgres beside it later.

pub mod sqlite;

pub use sqlite::SqliteStore;
