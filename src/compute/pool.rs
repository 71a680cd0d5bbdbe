//! Compute threads in pools of their own: trainers on one, predictions on others, so that neither waits for the other.
//!
//! Niceness belongs to each thread: training is nice enough that a prediction takes its core at once. What runs inside a
//! pool and asks rayon for help gets that pool's threads and no others. A panic in the work never leaves the pool and never
//! ends one of its threads. The supervisor has a pool for training, the predictor one of a single thread for each batcher.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::available_parallelism;

use rayon::{ThreadPool, ThreadPoolBuilder};

/// The nicest that a thread can be.
pub const MOST_NICE: u8 = 19;

/// Compute threads.
pub struct Pool {
    threads: ThreadPool,
}

/// A pool cannot be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot start the compute threads: {0}")]
pub struct PoolError(pub String);

/// Work that has a pool to itself.
pub struct Occupied {
    ended: Receiver<Result<(), String>>,
    /// Its threads end with it.
    _pool: Pool,
}

impl Pool {
    /// Starts `threads` threads called `name-0`, `name-1`, …, each `nice` nicer than the process (0 to [`MOST_NICE`]; only
    /// Linux has threads of different niceness, elsewhere it is passed over).
    ///
    /// 0 threads stands for as many as there are cores; where they cannot be nicer than the rest, one fewer, at least one.
    pub fn start(name: &str, threads: usize, nice: u8) -> Result<Self, PoolError> {
        let count = if threads == 0 { cores(nice) } else { threads };
        let name = name.to_owned();
        ThreadPoolBuilder::new()
            .num_threads(count)
            .thread_name(move |index| format!("{name}-{index}"))
            .start_handler(move |_| lower_priority(nice))
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
        self.threads.install(|| caught(work))
    }

    /// Gives the pool to work that goes on for long, and does not wait for it.
    pub fn occupy(self, work: impl FnOnce() + Send + 'static) -> Occupied {
        let (end, ended) = sync_channel(1);
        self.threads.spawn(move || {
            // Nobody may be waiting for the end.
            let _ = end.send(caught(work));
        });
        Occupied { ended, _pool: self }
    }
}

impl Occupied {
    /// Waits for the end of the work; a panic of it comes back as `Err` with its message.
    pub fn wait(self) -> Result<(), String> {
        self.ended.recv().unwrap_or_else(|_| Err("its thread is gone".into()))
    }
}

fn cores(nice: u8) -> usize {
    let cores = available_parallelism().map_or(1, usize::from);
    if nice > 0 && cfg!(target_os = "linux") { cores } else { cores.saturating_sub(1).max(1) }
}

fn caught<R>(work: impl FnOnce() -> R) -> Result<R, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| message(&*panic))
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a message").to_owned()
}

/// On Linux niceness belongs to a thread, named by its thread id. A refusal (a sandbox may forbid the call) is ignored:
/// the thread computes the same at normal priority, only less politely.
#[cfg(target_os = "linux")]
fn lower_priority(nice: u8) {
    use rustix::process::{getpriority_process, setpriority_process};
    let thread = Some(rustix::thread::gettid());
    if nice > 0
        && let Ok(current) = getpriority_process(thread)
    {
        let _ = setpriority_process(thread, (current + i32::from(nice)).min(i32::from(MOST_NICE)));
    }
}

/// Elsewhere niceness belongs to the whole process, HTTP included, so it is left alone.
#[cfg(not(target_os = "linux"))]
fn lower_priority(_nice: u8) {}

#[cfg(test)]
mod tests {
    use super::*;

    fn thread_name() -> String {
        std::thread::current().name().expect("the pool names its threads").to_owned()
    }

    #[test]
    fn work_runs_on_the_pools_own_threads_and_may_borrow() {
        let pool = Pool::start("training", 2, 0).unwrap();
        assert_eq!(pool.threads(), 2);
        let mut sum = 0;
        let name = pool.run(|| {
            sum = (1..=10).sum();
            thread_name()
        });
        assert!(name.unwrap().starts_with("training-"));
        assert_eq!(sum, 55);
    }

    #[test]
    fn what_forks_inside_a_pool_stays_on_its_threads() {
        let pools = ["training", "serving"].map(|name| (name, Pool::start(name, 2, 0).unwrap()));
        for (name, pool) in &pools {
            let seen = pool.run(|| {
                let (one, other) = rayon::join(thread_name, thread_name);
                let many = rayon::broadcast(|_| thread_name());
                [vec![one, other], many].concat()
            });
            let seen = seen.unwrap();
            assert_eq!(seen.len(), 4);
            assert!(seen.iter().all(|thread| thread.starts_with(name)), "{name}: {seen:?}");
        }
    }

    #[test]
    fn a_pool_of_no_given_size_has_a_thread() {
        assert!(Pool::start("training", 0, 0).unwrap().threads() >= 1);
        assert!(Pool::start("training", 0, MOST_NICE).unwrap().threads() >= 1);
    }

    #[test]
    fn a_panic_comes_back_as_its_message_and_the_pool_goes_on() {
        let pool = Pool::start("training", 1, 0).unwrap();
        assert_eq!(pool.run(|| -> () { panic!("the tensor is torn") }).unwrap_err(), "the tensor is torn");
        let step = 3;
        let failed: Result<(), String> = pool.run(|| panic!("at step {step}"));
        assert_eq!(failed.unwrap_err(), "at step 3");
        assert_eq!(pool.run(|| 7), Ok(7));
    }

    #[test]
    fn work_that_occupies_a_pool_runs_there_and_is_waited_for() {
        let (say, said) = sync_channel(1);
        let occupied = Pool::start("serving", 1, 0).unwrap().occupy(move || {
            say.send((thread_name(), rayon::current_num_threads())).unwrap();
        });
        assert_eq!(occupied.wait(), Ok(()));
        assert_eq!(said.recv().unwrap(), ("serving-0".to_owned(), 1));
        let broken = Pool::start("serving", 1, 0).unwrap().occupy(|| panic!("no more"));
        assert_eq!(broken.wait(), Err("no more".to_owned()));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn every_pool_is_as_nice_as_it_is_told_and_nobody_else() {
        let niceness = || rustix::process::getpriority_process(Some(rustix::thread::gettid())).unwrap();
        let before = niceness();
        for nice in [0, 3, 10, MOST_NICE] {
            let pool = Pool::start("training", 2, nice).unwrap();
            let seen = pool.run(|| rayon::broadcast(|_| niceness())).unwrap();
            assert_eq!(seen, [(before + i32::from(nice)).min(i32::from(MOST_NICE)); 2]);
        }
        assert_eq!(niceness(), before);
    }
}
