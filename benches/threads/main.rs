//! `cargo bench --bench threads`: what pools of their own are worth to predictions, and what overlap is worth to training.
//!
//! Everything that is compared takes turns in one run, and medians are shown; the tables stand in docs/PERFORMANCE.md.
//! `-- input` and `-- latency` measure one of the two.
//! With the variable `SYSTEM_ALLOCATOR` set it measures with the C library's allocator instead of mimalloc.

mod allocator;
mod input;
mod latency;
mod subject;

#[global_allocator]
static ALLOCATOR: allocator::Chosen = allocator::Chosen;

fn main() {
    perennial::process::prepare();
    // Cargo gives benches an argument of its own; any of ours names the part to measure.
    let wanted = |part: &str| {
        std::env::args().all(|given| given != "input" && given != "latency")
            || std::env::args().any(|given| given == part)
    };
    if wanted("input") {
        input::show();
    }
    if wanted("latency") {
        latency::show();
    }
}

/// The value below which this share of them lies.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * share).round() as usize]
}
