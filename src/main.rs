//! The binary: prepares the process, then hands over to the command line.

use std::process::ExitCode;

/// Tensors are allocated and freed on every step; mimalloc is what keeps candle's CPU path from waiting for memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    perennial::process::prepare();
    perennial::cli::main()
}
