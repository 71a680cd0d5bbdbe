//! `perennial device`: which devices this machine and this build have, why others cannot be used, and whether one computes
//! what the CPU computes.

mod check;
mod workloads;

use std::path::PathBuf;
use std::thread::available_parallelism;

use clap::{Args, Subcommand};

use super::table::{table, whole};
use crate::compute::device::{self, DeviceError, DeviceName};
use crate::compute::precision::Precision;

#[derive(Debug, Args)]
pub struct DeviceArguments {
    #[command(subcommand)]
    command: Option<DeviceCommand>,
}

#[derive(Debug, Subcommand)]
enum DeviceCommand {
    /// Train small networks on a device and on the CPU, from the same weights on the same rows, and compare the losses.
    Check(CheckArguments),
}

#[derive(Debug, Args)]
struct CheckArguments {
    /// The device: `cpu`, `cuda:N`, or `auto`.
    #[arg(default_value = "auto")]
    device: DeviceName,
    /// The precision of matrix products on the device: `f32`, `tf32` or `bf16`.
    #[arg(long, default_value = "f32")]
    precision: Precision,
    /// Steps that are compared with the CPU's.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    steps: u32,
    /// Steps that are timed after them.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    timed: u32,
    /// Check this network alone: `mlp`, `cnn`, `resnet`, `inception_bn`.
    #[arg(long)]
    network: Option<String>,
    /// Write the figures as JSON too.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

pub async fn run(arguments: DeviceArguments) -> anyhow::Result<()> {
    match arguments.command {
        None => list(),
        Some(DeviceCommand::Check(arguments)) => tokio::task::spawn_blocking(move || check::run(&arguments)).await?,
    }
}

/// A row for every device; a GPU is opened to find out whether it can be used.
fn list() -> anyhow::Result<()> {
    let mut rows = table(&["device", "what it is", "usable"], &[]);
    let cores = available_parallelism().map_or(1, usize::from);
    rows.add_row(vec!["cpu".to_owned(), format!("{cores} cores"), "yes".to_owned()]);
    match device::gpus() {
        Ok(gpus) => {
            for (index, gpu) in gpus.into_iter().enumerate() {
                let name = DeviceName::Cuda(index);
                let usable = match device::open(name) {
                    Ok(_) => "yes".to_owned(),
                    Err(DeviceError::Unusable { reason, .. }) => format!("no: {reason}"),
                    Err(error) => format!("no: {error}"),
                };
                let (major, minor) = gpu.capability;
                let mebibytes = whole(gpu.memory as u64 >> 20);
                let what = format!("{}, {mebibytes} MiB, compute capability {major}.{minor}", gpu.model);
                rows.add_row(vec![name.to_string(), what, usable]);
            }
        }
        Err(reason) => {
            rows.add_row(vec!["cuda:N".to_owned(), "–".to_owned(), format!("no: {reason}")]);
        }
    }
    println!("{rows}");
    Ok(())
}
