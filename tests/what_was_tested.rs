//! The last words of `cargo test`: which Postgres its tests ran on, or that they were passed over.
//!
//! No words alone: a server is started and asked, in the way in which every test starts it.

#[path = "servers/postgres.rs"]
mod servers;

fn main() {
    // A runner that asks for the names of tests: there are none.
    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    match servers::PostgresServer::start() {
        Some(server) => println!("Postgres: tested with {}", server.version()),
        None => println!("Postgres: SKIPPED, no server binaries"),
    }
}
