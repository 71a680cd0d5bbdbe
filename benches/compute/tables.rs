//! What is printed: one table of ours beside the best variant, and one of all variants.

use comfy_table::{Table, presets::ASCII_MARKDOWN};

use super::peak::Peak;
use super::turns::{Measured, Spread};

/// Ours beside the best of theirs; `peak` is what the machine's speed is measured by.
pub fn summary(lines: &[Measured], peak: &Peak) -> Table {
    let mut table = with_header(&[
        "line",
        "ours µs",
        "best PyTorch µs",
        "variant",
        "throughput, ours ÷ theirs",
        "goal",
        "",
        "ours GFLOP/s",
        "of the product's peak",
        "of the arithmetic's",
        "theirs GFLOP/s",
    ]);
    for measured in lines {
        let Some(ours) = Spread::of(measured.ours.clone()) else { continue };
        let speed = |seconds: f64| measured.line.flops() / seconds;
        let giga = |seconds| format!("{:.0}", speed(seconds) / 1e9);
        let share = |of: f64| format!("{:.0} %", 100.0 * speed(ours.median) / of);
        let bounds = [giga(ours.median), share(peak.product()), share(peak.arithmetic)];
        let mut cells = vec![measured.line.to_string(), microseconds(ours.median)];
        match measured.best().and_then(|best| Some((best, best.theirs()?, best.throughput()?))) {
            Some((best, theirs, throughput)) => {
                let goal = measured.line.goal();
                cells.extend([microseconds(theirs.median), best.variant.to_string(), ratio(throughput)]);
                cells.extend([format!("{goal}"), verdict(throughput, goal).into()]);
                cells.extend(bounds);
                cells.push(giga(theirs.median));
            }
            None => {
                cells.extend(std::iter::repeat_n("–".to_owned(), 5));
                cells.extend(bounds);
                cells.push("–".into());
            }
        }
        table.add_row(cells);
    }
    table
}

/// Every variant of every line, those that fail with their reason.
pub fn variants(lines: &[Measured]) -> Table {
    let mut table = with_header(&["line", "variant", "µs", "least–most", "throughput, ours ÷ theirs", "turns"]);
    for measured in lines {
        for one in &measured.compared {
            let mut cells = vec![measured.line.to_string(), one.variant.to_string()];
            match (&one.failure, one.theirs(), one.throughput()) {
                (None, Some(theirs), Some(throughput)) => {
                    let range = format!("{}–{}", microseconds(theirs.least), microseconds(theirs.most));
                    cells.extend([microseconds(theirs.median), range, ratio(throughput)]);
                    cells.push(one.turns.len().to_string());
                }
                (failure, ..) => {
                    let reason = failure.as_deref().unwrap_or("not measured");
                    cells.extend(["fails".into(), reason.to_owned(), "–".into(), "0".into()]);
                }
            }
            table.add_row(cells);
        }
    }
    table
}

fn with_header(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    table.set_header(header.iter().copied());
    table
}

/// Whether a ratio holds what is asked of it; a tie where only the run's spread reaches it.
fn verdict(throughput: Spread, goal: f64) -> &'static str {
    match (throughput.median >= goal, throughput.most >= goal) {
        (true, _) => "holds",
        (false, true) => "tie",
        (false, false) => "falls short",
    }
}

fn microseconds(seconds: f64) -> String {
    let number = seconds * 1e6;
    let decimals = if number < 100.0 { 1 } else { 0 };
    format!("{number:.decimals$}")
}

fn ratio(Spread { median, least, most }: Spread) -> String {
    format!("{median:.2} ({least:.2}–{most:.2})")
}
