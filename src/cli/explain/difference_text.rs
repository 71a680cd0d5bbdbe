//! The difference of two plans for people: a line for everything that is not the same.

use std::fmt::{Display, Write};

use serde::Serialize;

use crate::cli::table::whole;
use crate::growth::{Changed, NodeDiff, PlanDiff, StepDiff, TouchedNode};
use crate::network::Shape;

/// The difference, the plan that was read before the one that was made.
pub fn text(difference: &PlanDiff) -> String {
    if difference.is_empty() {
        return "the plans are the same\n".into();
    }
    let mut lines = Lines(String::new());
    lines.documents("request", difference.request.as_ref());
    lines.documents("op", difference.op.as_ref());
    lines.changed("seed", difference.seed.as_ref(), ToString::to_string);
    lines.changed("preserves", difference.preserves.as_ref(), ToString::to_string);
    lines.changed("parameters before", difference.parameters_before.as_ref(), |&number| whole(number));
    lines.changed("parameters after", difference.parameters_after.as_ref(), |&number| whole(number));
    lines.changed("FLOPs before", difference.flops_before.as_ref(), |&number| whole(number));
    lines.changed("FLOPs after", difference.flops_after.as_ref(), |&number| whole(number));
    lines.changed("layers before", difference.layers_before.as_ref(), ToString::to_string);
    lines.changed("layers after", difference.layers_after.as_ref(), ToString::to_string);
    for touched in &difference.only_first {
        lines.add("only there", touched_node(touched));
    }
    for touched in &difference.only_second {
        lines.add("only here", touched_node(touched));
    }
    for node in &difference.nodes {
        lines.node(node);
    }
    for step in &difference.steps {
        lines.add(&format!("step {}", step.step + 1), parts(step));
    }
    lines.0
}

struct Lines(String);

impl Lines {
    fn add(&mut self, what: &str, value: impl Display) {
        writeln!(self.0, "{what}: {value}").expect("a String takes every text");
    }

    fn changed<T>(&mut self, what: &str, changed: Option<&Changed<T>>, show: impl Fn(&T) -> String) {
        if let Some(changed) = changed {
            self.add(what, arrow(changed, show));
        }
    }

    fn documents<T: Serialize>(&mut self, what: &str, changed: Option<&Changed<T>>) {
        self.changed(what, changed, |value| serde_json::to_string(value).unwrap_or_default());
    }

    fn node(&mut self, node: &NodeDiff) {
        let shape = |shape: &Option<Shape>| shape.as_ref().map_or_else(|| "none".into(), ToString::to_string);
        let number = |&number: &u64| whole(number);
        let mut parts = Vec::new();
        parts.extend(node.op.as_ref().map(|changed| arrow(changed, String::clone)));
        parts.extend(node.change.as_ref().map(|changed| arrow(changed, ToString::to_string)));
        let mut part = |what: &str, text: Option<String>| parts.extend(text.map(|text| format!("{what} {text}")));
        part("shape before", node.shape_before.as_ref().map(|changed| arrow(changed, shape)));
        part("shape after", node.shape_after.as_ref().map(|changed| arrow(changed, ToString::to_string)));
        part("parameters before", node.parameters_before.as_ref().map(|changed| arrow(changed, number)));
        part("parameters after", node.parameters_after.as_ref().map(|changed| arrow(changed, number)));
        part("FLOPs before", node.flops_before.as_ref().map(|changed| arrow(changed, number)));
        part("FLOPs after", node.flops_after.as_ref().map(|changed| arrow(changed, number)));
        self.add(node.node.as_str(), parts.join(", "));
    }
}

fn arrow<T>(changed: &Changed<T>, show: impl Fn(&T) -> String) -> String {
    format!("{} → {}", show(&changed.first), show(&changed.second))
}

fn touched_node(touched: &TouchedNode) -> String {
    format!("{} ({}, {})", touched.node, touched.op, touched.change)
}

fn parts(step: &StepDiff) -> String {
    let parts: Vec<String> = step.parts.iter().map(ToString::to_string).collect();
    parts.join(", ")
}
