//! The input path: batches assembled before each step, and assembled beside the step before.

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::time::Instant;

use candle_core::Device;
use perennial::compute::pool::Pool;
use perennial::stream::{Label, StoredExample};
use perennial::training::assembly::Assembly;
use perennial::training::encoded::{EncodedLabels, EncodedRows};
use perennial::training::step::Batch;

use super::quantile;
use super::subject::{Subject, rule};

const TURNS: usize = 31;

/// Prints the table.
pub fn show() {
    println!(
        "| network | batch | row alone, us | batch, us | one after the other, rows/s | overlapped, 1 thread | overlapped, 2 threads |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    line("64-64-10", &mut Subject::new(64, &[64], 512), 32);
    line("784-128-10", &mut Subject::new(784, &[128], 512), 64);
    line("784-512-512-10", &mut Subject::new(784, &[512, 512], 512), 128);
}

fn line(name: &str, subject: &mut Subject, batch: usize) {
    let pools = [1, 2].map(|threads| Pool::start("training", threads, 0).expect("threads"));
    let mut times: [Vec<f64>; 5] = Default::default();
    for _ in 0..TURNS {
        times[0].push(encoded_alone(subject, batch));
        times[1].push(encoded_together(subject, batch));
        times[2].push(pools[1].run(|| one_after_the_other(subject, batch)).expect("steps"));
        times[3].push(pools[0].run(|| overlapped(subject, batch)).expect("steps"));
        times[4].push(pools[1].run(|| overlapped(subject, batch)).expect("steps"));
    }
    let median = |times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        quantile(times, 0.5)
    };
    let [alone, together, before, one, two] = times.each_mut().map(median);
    let rows = subject.examples.len() as f64;
    let encoding = |seconds: f64| 1e6 * seconds * batch as f64 / rows;
    println!(
        "| {name} | {batch} | {:.1} | {:.1} | {:.0} | {:.0} | {:.0} |",
        encoding(alone),
        encoding(together),
        rows / before,
        rows / one,
        rows / two
    );
}

/// Every row by itself, into new memory.
fn encoded_alone(subject: &Subject, batch: usize) -> f64 {
    let began = Instant::now();
    for examples in subject.examples.chunks(batch) {
        let mut values = Vec::new();
        examples.iter().for_each(|example| subject.model.encoder.encode_into(&example.row, &mut values));
        std::hint::black_box(&values);
    }
    began.elapsed().as_secs_f64()
}

fn encoded_together(subject: &Subject, batch: usize) -> f64 {
    let mut rows = EncodedRows::default();
    let began = Instant::now();
    for examples in subject.examples.chunks(batch) {
        rows.fill(&subject.model, examples.iter().map(|example| &**example));
        std::hint::black_box(&rows);
    }
    began.elapsed().as_secs_f64()
}

fn class(subject: &Subject, example: &StoredExample) -> Option<u32> {
    let Label::Class(class) = &example.label else { return None };
    subject.model.targets.class_index(class).and_then(|index| u32::try_from(index).ok())
}

fn learn(subject: &mut Subject, rows: &EncodedRows) {
    let batch = Batch::of(rows, &subject.model.targets, &Device::Cpu).expect("a batch");
    subject.engine.step(&batch, &rule()).expect("a step");
}

fn one_after_the_other(subject: &mut Subject, batch: usize) -> f64 {
    let batches = subject.batches(batch);
    let began = Instant::now();
    for examples in &batches {
        let mut rows = EncodedRows::default();
        // As it was done before: every row by itself.
        for example in examples {
            subject.model.encoder.encode_into(&example.row, &mut rows.values);
        }
        rows.seqs.extend(examples.iter().map(|example| example.seq));
        rows.shape = subject.model.encoder.shape();
        rows.labels = EncodedLabels::Classes(examples.iter().map(|example| class(subject, example)).collect());
        learn(subject, &rows);
    }
    began.elapsed().as_secs_f64()
}

fn overlapped(subject: &mut Subject, batch: usize) -> f64 {
    let batches = subject.batches(batch);
    let model = subject.model.clone();
    let mut assembly = Assembly::default();
    let began = Instant::now();
    let learned: Result<(), Infallible> = assembly.each(&model, &batches, |rows| {
        learn(subject, rows);
        Ok(ControlFlow::Continue(()))
    });
    let Ok(()) = learned;
    began.elapsed().as_secs_f64()
}
