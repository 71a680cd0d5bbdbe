//! The comparison of Net2Net (Chen, Goodfellow, Shlens 2015, §3), run for real and small enough for a processor: wider
//! and deeper growth beside the paper's baselines, without growth and from scratch, under three rules for the learning rate.
//!
//! `cargo bench --bench net2net -- --data FOLDER` on MNIST or Fashion-MNIST; without a folder on the UCI digits.
//! `docs/GROWTH_EXPERIMENTS.md` has what came of it. Nothing is asserted: the figures are the result.

mod comparison;
mod course;
mod data;
mod table;
mod ways;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::ensure;
use clap::{Parser, ValueEnum};
use perennial::growth::NewNorm;
use perennial::network::builders::NetworkSpec;

use comparison::Setting;
use data::Images;

/// That of the server: tensors are allocated and freed on every step.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Compares ways to grow a network.
#[derive(Parser)]
struct Arguments {
    /// The folder with the four files of MNIST or Fashion-MNIST; without it, the UCI digits.
    #[arg(long, env = "PERENNIAL_DATA")]
    data: Option<PathBuf>,
    /// Teachers, each with its own weights and order of rows.
    #[arg(long, default_value_t = 5)]
    seeds: u64,
    /// Only this network.
    #[arg(long)]
    network: Option<Kind>,
    /// Steps of a teacher; as many as the network is given time for unless it is said.
    #[arg(long)]
    teacher_steps: Option<u64>,
    /// Steps of a student, a multiple of 100.
    #[arg(long)]
    steps: Option<u64>,
    /// The whole learning rate; a learner's default.
    #[arg(long, default_value_t = 0.002)]
    learning_rate: f64,
    /// The noise of the paper's split, as a share of the weights' standard deviation.
    #[arg(long, default_value_t = 0.05)]
    noise: f64,
    /// At most so many test rows, spread over all; as many as the network is given time for unless it is said.
    #[arg(long)]
    test_rows: Option<usize>,
    /// Given by `cargo bench`; without it (`cargo test --benches`) everything is run once and for a few steps.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    Mlp,
    Cnn,
}

/// What is worth its time on one thread.
struct Usual {
    teacher_steps: u64,
    steps: u64,
    test_rows: usize,
}

impl Kind {
    /// The teacher, and the norm of its new layers.
    fn network(self) -> (NetworkSpec, NewNorm) {
        match self {
            Self::Mlp => (NetworkSpec::Mlp { hidden: vec![12, 12], dropout: 0.0 }, NewNorm::None),
            Self::Cnn => (NetworkSpec::Cnn { channels: vec![4, 8] }, NewNorm::Batch),
        }
    }

    fn usual(self) -> Usual {
        match self {
            Self::Mlp => Usual { teacher_steps: 6_000, steps: 4_000, test_rows: 10_000 },
            Self::Cnn => Usual { teacher_steps: 1_000, steps: 500, test_rows: 1_000 },
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Mlp => "mlp, hidden 12 and 12",
            Self::Cnn => "cnn, channels 4 and 8",
        }
    }
}

fn main() -> anyhow::Result<()> {
    perennial::process::prepare();
    let mut arguments = Arguments::parse();
    if !arguments.bench {
        (arguments.seeds, arguments.test_rows) = (1, Some(100));
        (arguments.teacher_steps, arguments.steps) = (Some(5), Some(100));
    }
    ensure!(arguments.seeds > 0, "at least one seed");
    let images = match &arguments.data {
        Some(folder) => Images::mnist(folder)?,
        None => {
            println!("No folder of data: the UCI digits (8x8) instead of MNIST.");
            Images::digits()?
        }
    };
    println!("\n{}", table::LEGEND);
    for kind in [Kind::Mlp, Kind::Cnn] {
        if arguments.network.is_none_or(|only| only == kind) {
            compare(kind, &images, &arguments)?;
        }
    }
    Ok(())
}

fn compare(kind: Kind, images: &Images, arguments: &Arguments) -> anyhow::Result<()> {
    let began = Instant::now();
    let ((spec, norm), usual) = (kind.network(), kind.usual());
    let images = &images.tested_on(arguments.test_rows.unwrap_or(usual.test_rows));
    let setting = Setting {
        teacher_steps: arguments.teacher_steps.unwrap_or(usual.teacher_steps),
        steps: arguments.steps.unwrap_or(usual.steps),
        learning_rate: arguments.learning_rate,
        seeds: arguments.seeds,
    };
    ensure!(setting.steps > 0 && setting.steps.is_multiple_of(100), "the steps of a student are a multiple of 100");
    let network = spec.build(&images.shape(), 10)?;
    let sets = [ways::wider(arguments.noise), ways::deeper(norm)];
    let tables = comparison::run(&network, &sets, images, &setting)?;
    for (name, lines) in ["twice as wide", "a new layer behind every hidden one"].into_iter().zip(&tables) {
        let against = lines[0].runs[0].against;
        println!("\n### {}: {name}\n", kind.name());
        let teachers = lines[0].runs.iter().map(|run| run.against.teacher).collect();
        println!(
            "{} rows to train on, {} to test. {} seeds, Adam at {}, batches of {}. Teacher: {} steps, {} % of the test rows, \
             {:.1} GFLOP. Students: {} steps; from scratch at the grown size {:.1} GFLOP.\n",
            images.train.classes.len(),
            images.test.classes.len(),
            setting.seeds,
            setting.learning_rate,
            course::BATCH,
            setting.teacher_steps,
            table::spread(teachers, 1),
            against.teacher_flops / 1e9,
            setting.steps,
            against.scratch_flops / 1e9
        );
        println!("{}", table::table(lines));
    }
    println!("{}: {:.0} s.", kind.name(), began.elapsed().as_secs_f64());
    Ok(())
}
