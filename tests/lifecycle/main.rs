//! The life of a whole server process: the demonstration, growth across a kill, graceful stop. `tests/crash` has the kills.

#[path = "../fixtures/release.rs"]
mod release;

mod database;
mod demo;
mod device;
mod features;
mod first_release;
mod postgres;
mod server;
mod stop;
mod storage;
