//! The training pool: the threads on which trainers compute, of low priority so that HTTP and serving stay responsive.
//!
//! A panic in the work never leaves the pool and never ends one of its threads. Trainers run their rounds on it.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::available_parallelism;

use rayon::{ThreadPool, ThreadPoolBuilder};

/// A pool of compute threads.
pub struct TrainingPool {
    threads: ThreadPool,
}

/// A pool cannot be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot start the training threads: {0}")]
pub struct PoolError(pub String);

impl TrainingPool {
    /// Starts `threads` threads (0: one for every core but one, at least one).
    pub fn start(threads: usize) -> Result<Self, PoolError> {
        let cores = || available_parallelism().map_or(1, usize::from);
        let count = if threads == 0 { cores().saturating_sub(1).max(1) } else { threads };
        ThreadPoolBuilder::new()
            .num_threads(count)
            .thread_name(|index| format!("training-{index}"))
            .start_handler(|_| lower_priority())
            .build()
            .map(|threads| Self { threads })
            .map_err(|error| PoolError(error.to_string()))
    }

    /// How many threads it has.
    pub fn threads(&self) -> usize {
        self.threads.current_num_threads()
    }

    /// Runs `work` on the pool and waits for it; a panic inside comes back as `Err` with its message.
    ///
    /// Whatever `work` had borrowed mutably may be left half changed by a panic: the caller discards it.
    pub fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> Result<R, String> {
        self.threads.install(|| catch_unwind(AssertUnwindSafe(work))).map_err(|panic| message(&*panic))
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a message").to_owned()
}

/// How much nicer than the process the training threads are; 19 is the most that Linux knows.
#[cfg(target_os = "linux")]
const NICER_BY: i32 = 10;

/// On Linux niceness belongs to a thread, named by its thread id. A refusal (a sandbox may forbid the call) is ignored:
/// the thread computes the same at normal priority, only less politely.
#[cfg(target_os = "linux")]
fn lower_priority() {
    use rustix::process::{getpriority_process, setpriority_process};
    let thread = Some(rustix::thread::gettid());
    if let Ok(current) = getpriority_process(thread) {
        let _ = setpriority_process(thread, (current + NICER_BY).min(19));
    }
}

/// Elsewhere niceness belongs to the whole process, HTTP included, so it is left alone.
#[cfg(not(target_os = "linux"))]
fn lower_priority() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_runs_on_the_pools_own_threads_and_may_borrow() {
        let pool = TrainingPool::start(2).unwrap();
        assert_eq!(pool.threads(), 2);
        let mut sum = 0;
        let name = pool.run(|| {
            sum = (1..=10).sum();
            std::thread::current().name().map(str::to_owned)
        });
        assert!(name.unwrap().unwrap().starts_with("training-"));
        assert_eq!(sum, 55);
    }

    #[test]
    fn a_pool_of_no_given_size_has_a_thread() {
        assert!(TrainingPool::start(0).unwrap().threads() >= 1);
    }

    #[test]
    fn a_panic_comes_back_as_its_message_and_the_pool_goes_on() {
        let pool = TrainingPool::start(1).unwrap();
        assert_eq!(pool.run(|| -> () { panic!("the tensor is torn") }).unwrap_err(), "the tensor is torn");
        let step = 3;
        let failed: Result<(), String> = pool.run(|| panic!("at step {step}"));
        assert_eq!(failed.unwrap_err(), "at step 3");
        assert_eq!(pool.run(|| 7), Ok(7));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn only_the_pools_threads_are_nicer() {
        let niceness = || rustix::process::getpriority_process(Some(rustix::thread::gettid())).unwrap();
        let before = niceness();
        let pool = TrainingPool::start(1).unwrap();
        assert_eq!(pool.run(niceness), Ok((before + NICER_BY).min(19)));
        assert_eq!(niceness(), before);
    }
}
