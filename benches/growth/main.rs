//! How long a growth takes and what memory it needs, in multiples of copying the grown network's bytes once.
//!
//! `cargo bench --bench growth` prints one table; nothing is asserted, because a machine may be busy. `docs/PERFORMANCE.md`
//! keeps a run and says what bounds it.

mod memory;
mod networks;
mod ratio;

use std::thread::available_parallelism;

use candle_core::Tensor;
use clap::Parser;
use comfy_table::{Table, presets::ASCII_MARKDOWN};
use perennial::compute::optimizer::Optimizer;
use perennial::growth::{
    Deeper, DeeperKind, Extent, GrowthError, GrowthRequest, Nodes, Plan, Probe, Refusal, Split, State, Wider, apply,
    apply_weights, certify, plan,
};
use perennial::network::{Network, Parameters};
use rayon::{ThreadPool, ThreadPoolBuilder};

use ratio::Ratio;

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;

/// Times and memory of growths.
#[derive(Debug, Parser)]
struct Arguments {
    /// About how many parameters the networks have before they grow.
    #[arg(long, value_delimiter = ',', default_value = "100000,1000000,10000000")]
    parameters: Vec<u64>,
    /// How often everything is measured.
    #[arg(long, default_value_t = 15)]
    turns: usize,
    /// How many threads the growth may use; the copy that it is compared with is always of one.
    #[arg(long, value_delimiter = ',', default_value = "1,2")]
    threads: Vec<usize>,
    /// The certificate is left out where one row through the grown network costs more floating-point operations.
    #[arg(long, default_value_t = 100_000_000)]
    certificate_flops: u64,
    /// Given by `cargo bench`; without it (`cargo test --benches`) the smallest network is grown once.
    #[arg(long, hide = true)]
    bench: bool,
}

/// The seed of every plan.
const SEED: u64 = 1;
/// How many encoded rows are lent to the certificate; it takes fewer where the network is costly.
const PROBE_ROWS: usize = 256;

fn main() -> anyhow::Result<()> {
    perennial::process::prepare();
    let mut arguments = Arguments::parse();
    if !arguments.bench {
        arguments.parameters = vec![10_000];
        (arguments.turns, arguments.threads) = (1, vec![1]);
    }
    let cores = available_parallelism().map_or(1, usize::from);
    println!("{cores} cores, vectors of {}; {} turns", vectors(), arguments.turns);
    println!("unit of time: one thread copies every parameter of the grown network; unit of memory: its bytes");
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    table.set_header([
        "network",
        "parameters",
        "grown",
        "growth",
        "unit ms",
        "threads",
        "plan",
        "weights only",
        "with optimizer state",
        "with certificate",
        "peak, weights",
        "peak, with state",
    ]);
    for &parameters in &arguments.parameters {
        for (name, network) in networks::of_size(parameters) {
            let bench = Bench { name, state: networks::state(&network)?, network, arguments: &arguments };
            for (growth, request) in growths() {
                bench.rows(growth, &request, &mut table)?;
            }
        }
    }
    println!("{table}");
    Ok(())
}

/// The widest vectors of numbers that this processor has: the growth's inner loops are compiled for several.
fn vectors() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            return "512 bits (AVX-512)";
        }
        if is_x86_feature_detected!("avx2") {
            return "256 bits (AVX2)";
        }
    }
    "128 bits"
}

fn growths() -> Vec<(&'static str, GrowthRequest)> {
    let wider = |split| GrowthRequest::Wider(Wider { nodes: Nodes::All, extent: Extent::Factor(2.0), split });
    vec![
        ("wider ×2, replicate", wider(Split::Replicate)),
        ("wider ×2, fresh", wider(Split::Fresh)),
        ("deeper, identity", GrowthRequest::Deeper(Deeper::plain(Nodes::All, DeeperKind::Identity))),
    ]
}

/// One network before it grows.
struct Bench<'a> {
    name: &'static str,
    network: Network,
    state: State,
    arguments: &'a Arguments,
}

impl Bench<'_> {
    /// One row of the table for every number of threads.
    fn rows(&self, growth: &str, request: &GrowthRequest, table: &mut Table) -> anyhow::Result<()> {
        let plan = match self.plan(request) {
            Ok(plan) => plan,
            Err(refusal) => {
                println!("{} of {}: {growth} is refused: {refusal}", self.name, self.network.parameter_count());
                return Ok(());
            }
        };
        for &threads in &self.arguments.threads {
            let pool = ThreadPoolBuilder::new().num_threads(threads).build()?;
            let columns = self.columns(&plan, &pool)?;
            let about = [
                self.name.to_owned(),
                count(self.network.parameter_count()),
                count(plan.parameters_after),
                growth.to_owned(),
                format!("{:.3}", columns.unit_ms),
                threads.to_string(),
            ];
            table.add_row(about.into_iter().chain(columns.cells));
        }
        Ok(())
    }

    fn plan(&self, request: &GrowthRequest) -> Result<Plan, Refusal> {
        plan(&self.network, request, SEED)
    }

    /// Unit and growth both run on a thread of the pool, as a growth does in a trainer's turn.
    fn columns(&self, plan: &Plan, pool: &ThreadPool) -> anyhow::Result<Columns> {
        let (network, state, turns) = (&self.network, &self.state, self.arguments.turns);
        let weights = || apply_weights(plan, network, &state.parameters);
        let all = || apply(plan, network, state, &Optimizer::ADAM);
        let (weights_peak, grown) = pool.install(|| memory::peak(weights));
        let (state_peak, grown_state) = pool.install(|| memory::peak(all));
        drop(grown_state?);
        let grown = grown?;
        let bytes = 4 * grown.values().map(Tensor::elem_count).sum::<usize>();
        let unit = || copied(&grown);
        let planned = pool.install(|| Ratio::measure(turns, unit, || self.plan(&plan.request)));
        let weights_only = pool.install(|| Ratio::measure(turns, unit, weights));
        let with_state = pool.install(|| Ratio::measure(turns, unit, all));
        let mut cells = vec![planned.to_string(), weights_only.to_string(), with_state.to_string()];
        let probe = self.probe();
        let certified = || -> Result<_, GrowthError> {
            let grown = apply(plan, network, state, &Optimizer::ADAM)?;
            certify(plan, (network, &state.parameters), (plan.student(), &grown.parameters), &probe)
        };
        cells.push(match plan.flops_after <= self.arguments.certificate_flops {
            true => format!("{:.0}", pool.install(|| Ratio::measure(1, unit, certified)).median),
            false => "–".into(),
        });
        cells.extend([weights_peak, state_peak].map(|peak| format!("{:.2}", peak as f64 / bytes as f64)));
        Ok(Columns { unit_ms: weights_only.unit.as_secs_f64() * 1e3, cells })
    }

    fn probe(&self) -> Probe {
        let size = self.network.input().elements();
        let row = |row: usize| (0..size).map(|index| ((row * size + index) % 17) as f32 / 8.0 - 1.0).collect();
        Probe { rows: (0..PROBE_ROWS).map(row).collect(), seed: SEED }
    }
}

/// What is measured of one growth on so many threads.
struct Columns {
    unit_ms: f64,
    cells: Vec<String>,
}

/// The unit: every parameter copied into a new tensor.
fn copied(parameters: &Parameters) -> Vec<candle_core::Result<Tensor>> {
    parameters.values().map(Tensor::copy).collect()
}

/// A number with its thousands apart.
fn count(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).expect("digits are ASCII")).collect();
    groups.join(" ")
}
