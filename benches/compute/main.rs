//! How fast the engine trains and answers, beside PyTorch on the same machine in the same run.
//!
//! `cargo bench --bench compute -- --python PATH` prints one table of ours and the best of PyTorch's variants and one
//! of all variants; nothing is asserted, because a machine may be busy. `benches/peers/README.md` says how to get
//! PyTorch and what makes the comparison fair; `docs/PERFORMANCE.md` keeps a run.

mod agreement;
mod arithmetic;
mod lines;
mod ours;
mod peak;
mod peer;
mod tables;
mod turns;
mod variants;
mod wave;

use std::path::PathBuf;

use clap::Parser;
use rayon::{ThreadPool, ThreadPoolBuilder};

use lines::{Line, Workload};
use peak::Peak;
use peer::Peers;
use turns::{Effort, Measured, Spread};
use variants::Malloc;

/// That of the server.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Times of training steps and predictions, ours beside PyTorch's.
#[derive(Debug, Parser)]
struct Arguments {
    /// Only lines whose name (`cnn train 64`) contains this.
    #[arg(long)]
    only: Option<String>,
    /// How often every variant is measured beside ours.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// About how many seconds of timed calls one turn has.
    #[arg(long, default_value_t = 0.5)]
    seconds: f64,
    /// How many threads each side has.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Our side alone.
    #[arg(long)]
    without_torch: bool,
    /// PyTorch without what it compiles first: a run of minutes instead of an hour.
    #[arg(long)]
    without_compile: bool,
    /// One more variant for every line, as the words of `benches/peers/torch_variants.py`: "fused max_autotune". May be
    /// given more than once.
    #[arg(long)]
    also: Vec<String>,
    /// The Python interpreter that has PyTorch.
    #[arg(long, default_value = "python3")]
    python: PathBuf,
    /// Where the time of our side goes, line by line, instead of a comparison.
    #[arg(long)]
    profile: bool,
    /// Given by `cargo bench`; without it (`cargo test --benches`) the smallest line is run once, alone.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    perennial::process::prepare();
    let mut arguments = Arguments::parse();
    if !arguments.bench {
        arguments.only = Some("mlp_small infer 1".into());
        (arguments.rounds, arguments.seconds, arguments.without_torch) = (1, 0.0, true);
    }
    let workloads = lines::workloads()?;
    let mut lines = lines::lines(&workloads);
    lines.retain(|line| arguments.only.as_ref().is_none_or(|only| line.to_string().contains(only)));
    // Of the priority of the whole process, unlike the trainers' pool: the peer's threads are not nicer either.
    let pool = ThreadPoolBuilder::new().num_threads(arguments.threads).build()?;
    if arguments.profile {
        return profile(&lines, &pool);
    }
    let mut peers = peers(&arguments);
    if let Some(peers) = &mut peers {
        agree(&workloads, &lines, peers)?;
    }
    let peer = peers.as_mut().map(|peers| peers.with(Malloc::Keeping));
    let peak = Peak::measure(&pool, peer, arguments.seconds)?;
    println!("{} threads; {peak}", arguments.threads);
    let mut measured = Vec::new();
    for line in &lines {
        measured.push(measure(line, &arguments, &pool, peers.as_mut())?);
    }
    println!("\n{}", tables::summary(&measured, &peak));
    if peers.is_some() {
        println!("\n{}", tables::variants(&measured));
    }
    Ok(())
}

/// PyTorch's two processes, unless there is none or none is wanted.
fn peers(arguments: &Arguments) -> Option<Peers> {
    if arguments.without_torch {
        return None;
    }
    match Peers::start(&arguments.python, arguments.threads) {
        Ok(peers) => Some(peers),
        Err(error) => {
            println!("no PyTorch ({error:#}): our side alone; benches/peers/README.md says how to get it");
            None
        }
    }
}

/// Holds both sides to the same networks.
fn agree(workloads: &[Workload], lines: &[Line], peers: &mut Peers) -> anyhow::Result<()> {
    let peer = peers.with(Malloc::Plain);
    println!("PyTorch {}", peer.version);
    for workload in workloads.iter().filter(|one| lines.iter().any(|line| line.workload.name == one.name)) {
        let parameters = agreement::check(workload, peer)?;
        println!("{}: {parameters} parameters on both sides, and the same logits", workload.name);
    }
    Ok(())
}

/// One line, with a word on it as soon as it is known.
fn measure(
    line: &Line,
    arguments: &Arguments,
    pool: &ThreadPool,
    peers: Option<&mut Peers>,
) -> anyhow::Result<Measured> {
    let effort = Effort { rounds: arguments.rounds.max(1), seconds: arguments.seconds };
    let mut variants = variants::of(line, &arguments.also);
    variants.retain(|variant| !(arguments.without_compile && variant.compiles()));
    let mut call = pool.install(|| ours::prepare(line))?;
    let measured = turns::measure(line, (&mut call, pool), (peers, variants), effort)?;
    let ours = Spread::of(measured.ours.clone()).map_or(f64::NAN, |ours| ours.median * 1e6);
    let throughput = measured.best().and_then(|best| Some((best.throughput()?.median, &best.variant)));
    match throughput {
        Some((ratio, variant)) => eprintln!("{line}: {ours:.1} µs, {ratio:.2} times the throughput of {variant}"),
        None => eprintln!("{line}: {ours:.1} µs"),
    }
    Ok(measured)
}

fn profile(lines: &[Line], pool: &ThreadPool) -> anyhow::Result<()> {
    for line in lines {
        match pool.install(|| ours::profile(line))? {
            Some(text) => println!("{line}\n{text}"),
            None => println!("{line}: the engine keeps no account of where its time goes"),
        }
    }
    Ok(())
}
