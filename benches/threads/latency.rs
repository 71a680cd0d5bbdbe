//! A request's latency while training runs, by how the threads are shared.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use candle_core::Device;
use perennial::compute::kernels::Crew;
use perennial::compute::pool::Pool;
use perennial::network::program::Servable;
use perennial::training::encoded::EncodedRows;
use perennial::training::step::Batch;

use super::quantile;
use super::subject::{Subject, rule};

/// Steps that a trainer does before it looks at the clock.
const STRIDE: usize = 8;
const BATCH: usize = 64;
/// Requests of a turn, and the pause between two of them.
const REQUESTS: usize = 150;
const PAUSE: Duration = Duration::from_millis(5);
const TURNS: usize = 3;

/// How threads are shared.
struct Sharing {
    name: &'static str,
    training: Option<Arc<Pool>>,
    serving: Arc<Pool>,
}

/// Prints the table.
pub fn show() {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let pool = |name: &str, threads, nice| Arc::new(Pool::start(name, threads, nice).expect("threads"));
    let shared = pool("shared", cores, 0);
    let own = |name, threads, nice| Sharing {
        name,
        training: Some(pool("training", threads, nice)),
        serving: pool("serving", 1, 0),
    };
    let mut sharings = [
        Sharing { name: "no training", training: None, serving: pool("serving", 1, 0) },
        Sharing { name: "one shared pool", training: Some(shared.clone()), serving: shared },
        own("own pools, training on every core, nice 0", cores, 0),
        own("own pools, training on every core, nice 10", cores, 10),
        own("own pools, training on every core, nice 19 (default)", cores, 19),
        own("own pools, training on every core but one, nice 10", cores.saturating_sub(1).max(1), 10),
    ];
    println!("| threads | p50 us | p90 | p99 | most | training, steps/s |");
    println!("| --- | --- | --- | --- | --- | --- |");
    let mut results: Vec<(Vec<f64>, f64)> = sharings.iter().map(|_| (Vec::new(), 0.0)).collect();
    for _ in 0..TURNS {
        for (sharing, (latencies, rate)) in sharings.iter_mut().zip(&mut results) {
            let (seen, steps) = turn(sharing);
            latencies.extend(seen);
            *rate += steps / TURNS as f64;
        }
    }
    for (sharing, (mut latencies, rate)) in sharings.iter().zip(results) {
        latencies.sort_by(f64::total_cmp);
        let [p50, p90, p99, most] = [0.5, 0.9, 0.99, 1.0].map(|share| 1e6 * quantile(&latencies, share));
        println!("| {} | {p50:.0} | {p90:.0} | {p99:.0} | {most:.0} | {rate:.1} |", sharing.name);
    }
}

/// Latencies in seconds, and training steps a second. Two trainers keep every core of a training pool busy, however little of a step is
/// spread over threads.
fn turn(sharing: &Sharing) -> (Vec<f64>, f64) {
    let ended = AtomicBool::new(false);
    let steps = AtomicU64::new(0);
    let began = Instant::now();
    let latencies = thread::scope(|scope| {
        for _ in 0..2 {
            if let Some(pool) = &sharing.training {
                let (ended, steps) = (&ended, &steps);
                scope.spawn(move || train(pool, ended, steps));
            }
        }
        let asked = ask(&sharing.serving);
        ended.store(true, Ordering::Relaxed);
        asked
    });
    let rate = steps.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64();
    (latencies, rate)
}

fn train(pool: &Pool, ended: &AtomicBool, steps: &AtomicU64) {
    let Subject { model, mut engine, examples, .. } = Subject::new(784, &[512, 512], BATCH as u64);
    let rows = EncodedRows::encode(&model, examples.iter().map(|example| &**example));
    while !ended.load(Ordering::Relaxed) {
        let stride = || {
            for _ in 0..STRIDE {
                let batch = Batch::of(&rows, &model.targets, &Device::Cpu).expect("a batch");
                engine.step(&batch, &rule()).expect("a step");
            }
        };
        pool.run(stride).expect("steps");
        steps.fetch_add(STRIDE as u64, Ordering::Relaxed);
    }
}

fn ask(pool: &Pool) -> Vec<f64> {
    let Subject { model, parameters, examples, .. } = Subject::new(784, &[256], 1);
    let mut numbers = Vec::new();
    model.encoder.encode_into(&examples[0].row, &mut numbers);
    let servable = Servable::compile(&model.network, &parameters).expect("weights of the network");
    let answer = || servable.run(&numbers, &Crew::of_pool()).expect("an output");
    let request = |_| {
        thread::sleep(PAUSE);
        let began = Instant::now();
        std::hint::black_box(pool.run(answer).expect("an answer"));
        began.elapsed().as_secs_f64()
    };
    (0..REQUESTS).map(request).collect()
}
