//! The life of a whole server process: the demonstration, growth across a kill, graceful stop. `tests/crash` has the kills.

mod demo;
mod device;
mod features;
mod server;
mod stop;
