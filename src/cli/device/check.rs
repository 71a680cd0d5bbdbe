//! Whether a device trains as the CPU does: the same networks from the same weights on the same rows, loss by loss; and
//! how long its steps and its matrix products take.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use candle_core::{Device, Tensor};
use serde::Serialize;

use super::CheckArguments;
use super::workloads::{self, RULE, Workload};
use crate::cli::table::table;
use crate::compute::device::{self, DeviceName};
use crate::compute::precision::{Precision, product};
use crate::training::learned::Learned;
use crate::training::step::{Batch, StepOutcome};

/// What the check found.
#[derive(Debug, Serialize)]
struct Report {
    device: String,
    precision: &'static str,
    networks: Vec<Figures>,
    products: Vec<Product>,
}

/// What it found of one network.
#[derive(Debug, Serialize)]
struct Figures {
    network: &'static str,
    rows: usize,
    parameters: u64,
    losses: Vec<f64>,
    cpu_losses: Vec<f64>,
    /// The largest relative difference between the two.
    difference: f64,
    tolerance: f64,
    /// Median milliseconds of a step on the device.
    step_ms: f64,
    /// Of a step on the CPU, over the steps that were compared.
    cpu_step_ms: f64,
}

/// How fast the device multiplies two square matrices.
#[derive(Debug, Serialize)]
struct Product {
    side: usize,
    precision: &'static str,
    teraflops: f64,
    /// The largest difference to the product in f32, in parts of the largest number of that product.
    difference: f64,
}

pub fn run(arguments: &CheckArguments) -> anyhow::Result<()> {
    let opened = device::open(arguments.device)?;
    if let Some(reason) = &opened.fallback {
        println!("the check runs on the cpu: {reason}");
    }
    let chosen: Vec<Workload> = workloads::all()?
        .into_iter()
        .filter(|workload| arguments.network.as_ref().is_none_or(|name| name == workload.name))
        .collect();
    ensure!(!chosen.is_empty(), "the networks are `mlp`, `cnn`, `resnet` and `inception_bn`");
    arguments.precision.choose(&opened.device)?;
    let mut report = Report {
        device: opened.name.to_string(),
        precision: arguments.precision.name(),
        networks: Vec::new(),
        products: Vec::new(),
    };
    for workload in &chosen {
        report.networks.push(compare(workload, &opened.device, arguments)?);
    }
    report.products = products(&opened.device, opened.name)?;
    print(&report);
    if let Some(file) = &arguments.report {
        let text = serde_json::to_string_pretty(&report)?;
        std::fs::write(file, text + "\n").with_context(|| format!("writing {}", file.display()))?;
    }
    for figures in &report.networks {
        ensure!(
            figures.difference <= figures.tolerance,
            "`{}`: a loss on {} differs from the CPU's by {:.1e}, more than {:.1e}",
            figures.network,
            report.device,
            figures.difference,
            figures.tolerance
        );
    }
    Ok(())
}

/// How far a loss may differ after a few steps: rounding of gradients near 0 turns steps of Adam around.
fn tolerance(precision: Precision) -> f64 {
    match precision {
        Precision::F32 => 5e-3,
        Precision::Tf32 => 2e-2,
        Precision::Bf16 => 5e-2,
    }
}

fn compare(workload: &Workload, device: &Device, arguments: &CheckArguments) -> anyhow::Result<Figures> {
    let (cpu_losses, cpu_times) = train(workload, &Device::Cpu, arguments.steps)?;
    let (mut losses, times) = train(workload, device, arguments.steps + arguments.timed)?;
    let timed = &times[arguments.steps as usize..];
    losses.truncate(cpu_losses.len());
    let difference = largest(losses.iter().zip(&cpu_losses).map(|(loss, cpu)| ((loss - cpu) / cpu).abs()));
    Ok(Figures {
        network: workload.name,
        rows: workload.rows,
        parameters: workload.network.parameter_count(),
        losses,
        cpu_losses,
        difference,
        tolerance: tolerance(arguments.precision),
        step_ms: median(timed),
        cpu_step_ms: median(&cpu_times),
    })
}

/// The losses of so many steps on one batch and how long each step took.
fn train(workload: &Workload, device: &Device, steps: u32) -> anyhow::Result<(Vec<f64>, Vec<Duration>)> {
    let (mut learned, batch) = (Learned::Tensors(workload.state(device)?), workload.batch(device)?);
    let (mut losses, mut times) = (Vec::new(), Vec::new());
    for _ in 0..steps {
        let start = Instant::now();
        losses.push(loss_of_step(workload, &mut learned, &batch)?);
        device.synchronize()?;
        times.push(start.elapsed());
    }
    Ok((losses, times))
}

fn loss_of_step(workload: &Workload, learned: &mut Learned, batch: &Batch) -> anyhow::Result<f64> {
    match learned.step(&workload.network, batch, &RULE)? {
        StepOutcome::Done { loss } => Ok(loss),
        StepOutcome::NonFinite { what } => anyhow::bail!("`{}`: {what} is not finite", workload.name),
    }
}

/// Products of square matrices in every precision of the device; of small ones on the CPU. Leaves the precision at f32.
fn products(device: &Device, name: DeviceName) -> anyhow::Result<Vec<Product>> {
    let (side, precisions) = match name {
        DeviceName::Cpu | DeviceName::Auto => (512, vec![Precision::F32]),
        DeviceName::Cuda(_) => (4_096, vec![Precision::F32, Precision::Tf32, Precision::Bf16]),
    };
    let wave = |step: usize| -> anyhow::Result<Tensor> {
        let values: Vec<f32> = (0..side * side).map(|at| ((at * step % 1_009) as f32 / 504.5) - 1.0).collect();
        Ok(Tensor::from_vec(values, (side, side), device)?)
    };
    let (left, right) = (wave(7)?, wave(11)?);
    Precision::F32.choose(device)?;
    let exact = product(&left, &right)?;
    let largest = exact.abs()?.max_all()?.to_scalar::<f32>()?;
    let mut found = Vec::new();
    for precision in precisions {
        precision.choose(device)?;
        let difference = (product(&left, &right)? - &exact)?.abs()?.max_all()?.to_scalar::<f32>()?;
        let mut times = Vec::new();
        for _ in 0..10 {
            device.synchronize()?;
            let start = Instant::now();
            let answer = product(&left, &right)?;
            device.synchronize()?;
            times.push(start.elapsed());
            drop(answer);
        }
        let operations = 2.0 * (side as f64).powi(3);
        found.push(Product {
            side,
            precision: precision.name(),
            teraflops: operations / (median(&times) * 1e-3) / 1e12,
            difference: f64::from(difference / largest),
        });
    }
    Precision::F32.choose(device)?;
    Ok(found)
}

fn print(report: &Report) {
    let columns = ["network", "batch", "parameters", "step ms", "cpu step ms", "first loss", "largest difference"];
    let mut rows = table(&columns, &[1, 2, 3, 4, 5, 6]);
    for figures in &report.networks {
        rows.add_row(vec![
            figures.network.to_owned(),
            figures.rows.to_string(),
            figures.parameters.to_string(),
            format!("{:.2}", figures.step_ms),
            format!("{:.2}", figures.cpu_step_ms),
            format!("{:.5}", figures.losses.first().copied().unwrap_or(f64::NAN)),
            format!("{:.1e} of {:.1e}", figures.difference, figures.tolerance),
        ]);
    }
    println!("{} in {}\n{rows}", report.device, report.precision);
    let mut rows = table(&["product", "precision", "TFLOP/s", "largest difference"], &[2, 3]);
    for product in &report.products {
        rows.add_row(vec![
            format!("{0} x {0} x {0}", product.side),
            product.precision.to_owned(),
            format!("{:.2}", product.teraflops),
            format!("{:.1e}", product.difference),
        ]);
    }
    println!("{rows}");
}

/// In milliseconds.
fn median(times: &[Duration]) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
}

/// Not a number if one of them is none, which is within no tolerance.
fn largest(differences: impl Iterator<Item = f64>) -> f64 {
    differences.fold(0.0, |largest, one| if one.is_nan() || one > largest { one } else { largest })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(device: DeviceName, report: Option<std::path::PathBuf>) -> anyhow::Result<()> {
        let network = Some("mlp".to_owned());
        run(&CheckArguments { device, precision: Precision::F32, steps: 2, timed: 1, network, report })
    }

    #[test]
    fn the_cpu_agrees_with_itself_to_the_bit_and_the_report_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("report.json");
        check(DeviceName::Cpu, Some(file.clone())).unwrap();
        let report: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        assert_eq!(report.pointer("/networks/0/difference"), Some(&serde_json::json!(0.0)));
        assert_eq!(report.pointer("/networks/0/losses/1"), report.pointer("/networks/0/cpu_losses/1"));
        assert_eq!(report.pointer("/products/0/difference"), Some(&serde_json::json!(0.0)));
    }

    #[test]
    fn a_gpu_that_is_not_there_fails_the_check() {
        let error = check(DeviceName::Cuda(4_000), None).unwrap_err().to_string();
        assert!(error.contains("cuda:4000"), "{error}");
    }

    #[test]
    fn a_loss_that_is_no_number_is_within_no_tolerance() {
        for losses in [[0.0, f64::NAN, 0.1], [f64::NAN, 0.0, 0.0], [0.0, 0.0, f64::NAN]] {
            assert!(largest(losses.into_iter()).is_nan(), "{losses:?}");
        }
        assert_eq!(largest([0.1, 0.3, 0.2].into_iter()), 0.3);
    }
}
