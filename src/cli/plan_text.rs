//! Plans for people: the table of what happens to which node, and a summary in words.
//!
//! The same text for a plan that was just made, for a dry run, and for a growth that a server tells of.

use std::fmt::Write;

use comfy_table::Table;

use super::table::{table, whole};
use crate::growth::{ChannelSet, TouchedNode};
use crate::http::growth_view::PlanView;

/// How many sets of one node's channels a summary names.
const NAMED_SETS: usize = 6;

/// What happens to every node that is touched: shapes, parameters and work, before → after where they change.
pub fn plan_table(plan: &PlanView) -> Table {
    let mut rows = table(&["node", "op", "what", "shape", "parameters", "FLOPs"], &[4, 5]);
    for touched in &plan.touched {
        rows.add_row(vec![
            touched.node.to_string(),
            touched.op.clone(),
            touched.change.to_string(),
            shape(touched),
            change(touched.parameters_before, touched.parameters_after),
            change(touched.flops_before, touched.flops_after),
        ]);
    }
    rows
}

/// Parameters, work and layers before and after, what the growth preserves, and what grows together.
pub fn summary(plan: &PlanView) -> String {
    let mut text = format!("{}: {} nodes are touched\n", plan.op.as_str(), plan.touched.len());
    let mut line = |what: &str, value: String| {
        writeln!(text, "  {what:<14}{value}").expect("a String takes every text");
    };
    line("parameters", ratio(plan.parameters_before, plan.parameters_after));
    line("FLOPs a row", ratio(plan.flops_before, plan.flops_after));
    line("layers", ratio(plan.layers_before as u64, plan.layers_after as u64));
    line("preserves", plan.preserves.to_string());
    let (alone, together): (Vec<&ChannelSet>, Vec<&ChannelSet>) = plan.sets.iter().partition(|set| set.nodes.len() < 2);
    for set in together {
        line("grow together", named(set));
    }
    if !alone.is_empty() {
        let mut names: Vec<String> = alone.iter().take(NAMED_SETS).map(|set| named(set)).collect();
        if alone.len() > NAMED_SETS {
            names.push(format!("and {} more", alone.len() - NAMED_SETS));
        }
        line("grow alone", names.join(", "));
    }
    text
}

fn named(set: &ChannelSet) -> String {
    let nodes: Vec<&str> = set.nodes.iter().map(|node| node.as_str()).collect();
    format!("{} ({} → {})", nodes.join(", "), set.channels_before, set.channels_after)
}

fn shape(touched: &TouchedNode) -> String {
    match &touched.shape_before {
        Some(before) if *before != touched.shape_after => format!("{before} → {}", touched.shape_after),
        _ => touched.shape_after.to_string(),
    }
}

fn change(before: u64, after: u64) -> String {
    if before == after { whole(after) } else { format!("{} → {}", whole(before), whole(after)) }
}

fn ratio(before: u64, after: u64) -> String {
    if before == after || before == 0 {
        return change(before, after);
    }
    format!("{} (x{:.2})", change(before, after), after as f64 / before as f64)
}
