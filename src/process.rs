//! What must be set before any thread starts: the allocator and the thread variables of libraries.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Sets the thread variables of the libraries. Call it first in `main`, before any thread starts.
pub fn prepare() {
    unimplemented!("helper H")
}
