//! `cargo bench --bench stream`: does training stay as fast as the stream grows longer?
//!
//! For streams of 1e4, 1e5 and 1e6 rows, each with the stream cache and without: rows a second through the steps of new
//! rounds (half of each batch is replay of old rows), the time of the 99th of a hundred rounds, rows a second of a pass over
//! history, the time from a new process to its first new row learned, and rows a second that segments are built with. The
//! last column sets the rounds' rate against that of the shortest stream in the same run. `-- --most 10000000` measures up
//! to 1e7 rows, `-- --most 10000` only the shortest. The figures stand in docs/PERFORMANCE.md.

mod subject;

use std::time::Duration;

use subject::{Cache, Figures, Subject};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The lengths of streams.
const LENGTHS: [u64; 4] = [10_000, 100_000, 1_000_000, 10_000_000];
/// The longest if nobody says.
const MOST: u64 = 1_000_000;

fn main() {
    perennial::process::prepare();
    let arguments: Vec<String> = std::env::args().collect();
    let most = arguments.iter().position(|argument| argument == "--most");
    let most = most.and_then(|at| arguments.get(at + 1)).and_then(|text| text.parse().ok()).unwrap_or(MOST);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    println!(
        "{:>10} {:>6} {:>12} {:>11} {:>12} {:>11} {:>13} {:>9}",
        "rows", "cache", "rounds r/s", "p99 round", "pass r/s", "restart", "build r/s", "ratio"
    );
    for cache in [Cache::On, Cache::Off] {
        let mut shortest = None;
        for rows in LENGTHS.into_iter().filter(|&rows| rows <= most) {
            let figures = runtime.block_on(async {
                let mut subject = Subject::filled(rows, cache).await;
                subject.measured().await
            });
            show(rows, cache, &figures, *shortest.get_or_insert(figures.rounds));
        }
    }
}

fn show(rows: u64, cache: Cache, figures: &Figures, shortest: f64) {
    let built = figures.build.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.0}"));
    println!(
        "{rows:>10} {:>6} {:>12.0} {:>11} {:>12.0} {:>11} {built:>13} {:>9.2}",
        if cache == Cache::On { "on" } else { "off" },
        figures.rounds,
        millis(figures.round_p99),
        figures.pass,
        millis(figures.restart),
        figures.rounds / shortest,
    );
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", 1e3 * time.as_secs_f64())
}
