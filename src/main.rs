//! The binary: prepares the process, then hands over to the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    perennial::process::prepare();
    perennial::cli::main()
}
