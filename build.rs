//! Tells Cargo that the library embeds `migrations/`: a new file there must rebuild it, though no Rust file changed.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
