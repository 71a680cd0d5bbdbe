//! The life of a whole server process: the demonstration, kill -9, graceful stop.

mod database;
mod demo;
mod device;
mod features;
mod first_release;
mod kill;
mod postgres;
mod server;
mod stop;
mod storage;
