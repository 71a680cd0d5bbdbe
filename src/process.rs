//! What must be set before any thread starts: the thread variables of libraries.
//!
//! The allocator is the binary's: a library leaves that choice to whoever links it, and the benches count what they use.

/// Sets the thread variables of the libraries, unless the user did. Call it first in `main`, before any thread starts.
///
/// `RAYON_NUM_THREADS`: candle reads the operating system's list of CPUs at every matrix product while it is unset.
/// `CANDLE_NUM_THREADS`: candle's own pool serialises whoever uses it, so it gets one thread and our pools the rest.
pub fn prepare() {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    set_unless_set("RAYON_NUM_THREADS", &cores.to_string());
    set_unless_set("CANDLE_NUM_THREADS", "1");
}

fn set_unless_set(variable: &str, value: &str) {
    if std::env::var_os(variable).is_none() {
        // SAFETY: `prepare` runs first in `main`, while this is the only thread, so nobody reads the environment.
        unsafe { std::env::set_var(variable, value) };
    }
}
