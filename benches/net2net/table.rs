//! The table of one comparison, in Markdown: each figure is the median over seeds, with the least and the largest.

use super::comparison::{Line, Run, end};

/// The step up to which the worst accuracy is looked for.
const EARLY: u64 = 200;
/// A number of steps that no run reaches.
const NEVER: f64 = f64::INFINITY;

const COLUMNS: [&str; 14] = [
    "growth",
    "rate",
    "logits off by",
    "drift",
    "drop at 0",
    "worst to 200",
    "after 100",
    "after 500",
    "end",
    "mean",
    "end less no growth's",
    "steps to teacher's",
    "steps to scratch's end",
    "cost of that",
];

/// How its columns are to be read.
pub const LEGEND: &str = "\
Median over seeds (least to largest). Accuracies are percent of the test rows, differences are percentage points.
logits off by: the largest relative difference of a test logit at the growth, of any seed. drift: how far copies part in
8 steps, mean (the least of any seed). drop at 0: teacher less student before a step. worst to 200: of the steps measured
up to 200, step 0 among them. mean: over all steps (the area under the curve). end less no growth's: paired, against the
teacher's own size trained on at the full rate for as many steps. steps to …: the first measured step that is as good as
the teacher was, or as the grown size from scratch is after as many steps. cost of that: those steps' operations as a
share of all of the latter's, without and with the teacher's.";

/// The table, ready to print.
pub fn table(lines: &[Line]) -> String {
    let mut text = format!("| {} |\n|{}\n", COLUMNS.join(" | "), " --- |".repeat(COLUMNS.len()));
    for line in lines {
        text += &format!("| {} |\n", cells(line).join(" | "));
    }
    text
}

fn cells(line: &Line) -> Vec<String> {
    let of = |figure: fn(&Run) -> f64| line.runs.iter().map(figure).collect::<Vec<f64>>();
    let after = |step: u64| -> String {
        let known = |run: &Run| run.curve.iter().find(|point| point.0 == step).map(|point| point.1);
        line.runs.iter().map(known).collect::<Option<Vec<f64>>>().map_or("–".into(), |all| spread(all, 1))
    };
    vec![
        line.way.clone(),
        line.rate.to_owned(),
        difference(line),
        drifted(line),
        spread(of(|run| run.against.teacher - run.curve[0].1), 1),
        spread(of(worst), 1),
        after(100),
        after(500),
        spread(of(|run| end(&run.curve)), 1),
        spread(of(mean), 1),
        spread(of(|run| end(&run.curve) - run.against.narrow), 1),
        spread(of(|run| first(run, run.against.teacher)), 0),
        spread(of(|run| first(run, run.against.scratch)), 0),
        cost(line),
    ]
}

fn difference(line: &Line) -> String {
    let all: Option<Vec<f64>> = line.runs.iter().map(|run| run.growth.map(|growth| growth.difference)).collect();
    let largest = all.map(|all| all.into_iter().fold(0.0, f64::max));
    largest.map_or("–".into(), |largest| if largest == 0.0 { "0".into() } else { format!("{largest:.0e}") })
}

fn drifted(line: &Line) -> String {
    let all: Option<Vec<_>> = line.runs.iter().map(|run| run.growth.and_then(|growth| growth.drift)).collect();
    let Some(all) = all else {
        return "–".into();
    };
    let least = all.iter().map(|drift| drift.least).fold(f64::INFINITY, f64::min);
    format!("{:.3} ({least:.0e})", median(all.iter().map(|drift| drift.mean).collect()))
}

/// The operations up to the scratch network's final accuracy, as a share of the scratch network's, without and with the
/// teacher's where there was one.
fn cost(line: &Line) -> String {
    let own = |run: &Run| first(run, run.against.scratch) * run.flops / run.against.scratch_flops;
    let teachers =
        |run: &Run| if line.has_teacher() { run.against.teacher_flops / run.against.scratch_flops } else { 0.0 };
    let without = median(line.runs.iter().map(own).collect());
    let with = median(line.runs.iter().map(|run| own(run) + teachers(run)).collect());
    if without == NEVER { "–".into() } else { format!("{without:.2} / {with:.2}") }
}

/// The first measured step with at least this accuracy.
fn first(run: &Run, accuracy: f64) -> f64 {
    run.curve.iter().find(|point| point.1 >= accuracy).map_or(NEVER, |point| point.0 as f64)
}

fn worst(run: &Run) -> f64 {
    run.curve.iter().filter(|point| point.0 <= EARLY).map(|point| point.1).fold(f64::INFINITY, f64::min)
}

/// The area under the curve by trapezia, divided by its length.
fn mean(run: &Run) -> f64 {
    let area = |pair: &[(u64, f64)]| (pair[1].0 - pair[0].0) as f64 * (pair[0].1 + pair[1].1) / 2.0;
    let length = run.curve.last().map_or(0, |point| point.0).max(1);
    run.curve.windows(2).map(area).sum::<f64>() / length as f64
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len().is_multiple_of(2) { (values[middle - 1] + values[middle]) / 2.0 } else { values[middle] }
}

/// "median (least to largest)".
pub fn spread(values: Vec<f64>, digits: usize) -> String {
    let number = |value: f64| match value {
        NEVER => "never".to_owned(),
        // Rounding may leave a zero with a sign.
        value => format!("{:.digits$}", if value.abs() < 0.5 * 0.1f64.powi(digits as i32) { 0.0 } else { value }),
    };
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    match (number(median(values)), number(least), number(largest)) {
        (middle, least, largest) if least == largest => middle,
        (middle, least, largest) => format!("{middle} ({least} to {largest})"),
    }
}
