//! Devices at the start of a server: what cannot be used is said in one line, by name as an error.

use std::process::{Command, Output};

/// A number that no machine has a GPU of.
const NO_GPU: &str = "cuda:4000";

fn serve(variables: &[(&str, &str)], flags: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_perennial"));
    command.args(["serve", "--port", "0", "--data-dir"]).arg(folder.path()).args(flags).envs(variables.iter().copied());
    command.output().expect("it runs")
}

#[test]
fn a_gpu_that_cannot_be_used_ends_the_start_with_what_to_do() {
    for (variables, flags) in [
        (vec![], vec!["--device", NO_GPU]),
        (vec![("PERENNIAL_DEVICE", NO_GPU)], vec![]),
        (vec![("PERENNIAL_TRAINING__DEVICE", NO_GPU)], vec![]),
    ] {
        let output = serve(&variables, &flags);
        let error = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(1), "{error}");
        let told = error.lines().find(|line| line.starts_with("error: ")).expect("an error");
        assert!(told.contains("cuda:4000") && told.contains("`cpu`"), "{told}");
        assert!(!error.contains("panicked"), "{error}");
    }
}

#[test]
fn a_precision_of_gpus_is_refused_on_the_cpu() {
    let output = serve(&[("PERENNIAL_TRAINING__PRECISION", "bf16")], &["--device", "cpu"]);
    let error = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("bf16") && error.contains("CPU"), "{error}");
}

#[test]
fn the_list_of_devices_says_why_there_is_no_gpu() {
    let output = Command::new(env!("CARGO_BIN_EXE_perennial")).arg("device").output().expect("it runs");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success() && text.contains("cpu"), "{text}");
    assert!(text.contains("cuda:0") || text.contains("no: "), "{text}");
}
