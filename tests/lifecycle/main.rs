//! The life of a whole server process: the demonstration, kill -9, graceful stop.

mod demo;
mod device;
mod features;
mod kill;
mod postgres;
mod server;
mod stop;
mod storage;
