//! The documents that order a growth: `{"wider": …}`, `{"deeper": …}`, `{"inputs": …}`, `{"classes": […]}` or
//! `{"auto": true}`, exactly one of them. Read strictly, and written back as they are read.

use serde_json::{Map, Value, json};

use super::growth_inputs;
use crate::growth::{Deeper, DeeperKind, Extent, NewNorm, Nodes, Split, Wider};
use crate::network::NodeId;
use crate::stream::decode::Fault;
use crate::stream::schema::class_fault;
use crate::training::GrowthOrder;

/// Most names in one order.
const MAX_NAMES: usize = 1_000;

/// Why a document orders nothing.
#[derive(Debug, PartialEq)]
pub enum OrderError {
    /// A place in it is at fault.
    Fault(Fault),
    /// It names a node that no network can have; shortened.
    NoSuchNode(String),
}

/// The order that a document describes.
pub fn parse(document: &Value) -> Result<GrowthOrder, OrderError> {
    let order = Members::of(document, "")?;
    order.only(&["wider", "deeper", "inputs", "classes", "auto"])?;
    let mut entries = order.members.iter();
    let (Some((kind, value)), None) = (entries.next(), entries.next()) else {
        return fault("", "must have exactly one of `wider`, `deeper`, `inputs`, `classes` and `auto`");
    };
    match kind.as_str() {
        "wider" => wider(value),
        "deeper" => deeper(value),
        "inputs" => growth_inputs::parse(value),
        "classes" => Ok(GrowthOrder::Classes { classes: names(value, "/classes", class_fault)? }),
        _ if value == &Value::Bool(true) => Ok(GrowthOrder::Auto),
        _ => fault("/auto", "must be `true`"),
    }
}

/// The document of an order, as [`parse`] reads it.
pub fn render(order: &GrowthOrder) -> Value {
    match order {
        GrowthOrder::Wider(wider) => {
            let mut document = render_nodes(&wider.nodes, "nodes");
            render_extent(&mut document, wider.extent);
            document["split"] = json!(wider.split);
            json!({ "wider": document })
        }
        GrowthOrder::Deeper(deeper) => {
            let mut document = render_nodes(&deeper.after, "after");
            document["kind"] = json!(deeper.kind);
            if deeper.norm != NewNorm::None {
                document["norm"] = json!(deeper.norm);
            }
            if let Some(extent) = deeper.width {
                render_extent(&mut document, extent);
            }
            json!({ "deeper": document })
        }
        GrowthOrder::Inputs { feature, categories } => {
            json!({"inputs": {"feature": feature, "categories": categories}})
        }
        GrowthOrder::Features { features } => json!({"inputs": {"features": features}}),
        GrowthOrder::Classes { classes } => json!({ "classes": classes }),
        GrowthOrder::Auto => json!({"auto": true}),
    }
}

fn render_extent(document: &mut Value, extent: Extent) {
    match extent {
        Extent::To(channels) => document["to"] = json!(channels),
        Extent::Factor(factor) => document["factor"] = json!(factor),
    }
}

fn render_nodes(nodes: &Nodes, key: &str) -> Value {
    match nodes {
        Nodes::All => json!({"all": true}),
        Nodes::Matching(pattern) => json!({"matching": pattern}),
        Nodes::These(ids) => json!({ key: ids }),
    }
}

fn wider(value: &Value) -> Result<GrowthOrder, OrderError> {
    let members = Members::of(value, "/wider")?;
    members.only(&["node", "nodes", "matching", "all", "to", "factor", "split"])?;
    let nodes = match members.exactly_one(&["node", "nodes", "matching", "all"])? {
        ("node", value) => Nodes::These(vec![node(value, "/wider/node")?]),
        ("nodes", value) => Nodes::These(node_list(value, "/wider/nodes")?),
        ("matching", value) => pattern(value, "/wider/matching")?,
        (_, value) => all(value, "/wider/all")?,
    };
    let extent = extent(&members)?;
    let split = members.members.get("split").map_or(Ok(Split::default()), split)?;
    Ok(GrowthOrder::Wider(Wider { nodes, extent, split }))
}

/// `to` or `factor`, one of which there must be.
fn extent(members: &Members) -> Result<Extent, OrderError> {
    let pointer = |key: &str| format!("{}/{key}", members.pointer);
    match members.exactly_one(&["to", "factor"])? {
        ("to", value) => match value.as_u64().and_then(|number| usize::try_from(number).ok()) {
            Some(channels @ 1..) => Ok(Extent::To(channels)),
            _ => fault(&pointer("to"), "must be a whole number of channels, at least 1"),
        },
        (_, value) => match value.as_f64() {
            Some(factor) if factor.is_finite() && factor > 1.0 => Ok(Extent::Factor(factor)),
            _ => fault(&pointer("factor"), "must be a number above 1"),
        },
    }
}

fn split(value: &Value) -> Result<Split, OrderError> {
    const POINTER: &str = "/wider/split";
    match value.as_str() {
        Some("replicate") => return Ok(Split::Replicate),
        Some("paper") => return Ok(Split::Paper { noise: 0.0 }),
        Some("fresh") => return Ok(Split::Fresh),
        Some(_) => return fault(POINTER, "must be `replicate`, `paper` or `fresh`, or {\"paper\":{\"noise\":…}}"),
        None => {}
    }
    let members = Members::of(value, POINTER)?;
    members.only(&["paper"])?;
    let (_, paper) = members.exactly_one(&["paper"])?;
    let members = Members::of(paper, "/wider/split/paper")?;
    members.only(&["noise"])?;
    match members.exactly_one(&["noise"])?.1.as_f64() {
        Some(noise) if (0.0..=1.0).contains(&noise) => Ok(Split::Paper { noise }),
        _ => fault("/wider/split/paper/noise", "must be a number from 0 to 1"),
    }
}

fn deeper(value: &Value) -> Result<GrowthOrder, OrderError> {
    let members = Members::of(value, "/deeper")?;
    members.only(&["after", "matching", "all", "kind", "norm", "to", "factor"])?;
    let after = match members.exactly_one(&["after", "matching", "all"])? {
        ("matching", value) => pattern(value, "/deeper/matching")?,
        ("after", value @ Value::Array(_)) => Nodes::These(node_list(value, "/deeper/after")?),
        ("after", value) => Nodes::These(vec![node(value, "/deeper/after")?]),
        (_, value) => all(value, "/deeper/all")?,
    };
    let kind = match members.members.get("kind").map(Value::as_str) {
        None => DeeperKind::default(),
        Some(Some("identity")) => DeeperKind::Identity,
        Some(Some("residual")) => DeeperKind::Residual,
        Some(_) => return fault("/deeper/kind", "must be `identity` or `residual`"),
    };
    let norm = match members.members.get("norm").map(Value::as_str) {
        None | Some(Some("none")) => NewNorm::None,
        Some(Some("batch")) => NewNorm::Batch,
        Some(_) => return fault("/deeper/norm", "must be `none` or `batch`"),
    };
    let widens = ["to", "factor"].iter().any(|key| members.members.contains_key(*key));
    let width = if widens { Some(extent(&members)?) } else { None };
    Ok(GrowthOrder::Deeper(Deeper { after, kind, norm, width }))
}

fn all(value: &Value, pointer: &str) -> Result<Nodes, OrderError> {
    if value == &Value::Bool(true) { Ok(Nodes::All) } else { fault(pointer, "must be `true`") }
}

fn pattern(value: &Value, pointer: &str) -> Result<Nodes, OrderError> {
    const LONGEST: usize = 200;
    match value.as_str() {
        Some(text) if (1..=LONGEST).contains(&text.len()) => Ok(Nodes::Matching(text.to_owned())),
        _ => fault(pointer, &format!("must be 1 to {LONGEST} characters of a node's id, `*` for any others")),
    }
}

fn node(value: &Value, pointer: &str) -> Result<NodeId, OrderError> {
    match value.as_str() {
        Some(text) => NodeId::parse(text).map_err(|_| OrderError::NoSuchNode(text.chars().take(100).collect())),
        None => fault(pointer, "must be the id of a node"),
    }
}

fn node_list(value: &Value, pointer: &str) -> Result<Vec<NodeId>, OrderError> {
    let mut nodes: Vec<NodeId> = Vec::new();
    for (index, item) in list(value, pointer)?.iter().enumerate() {
        let pointer = format!("{pointer}/{index}");
        let node = node(item, &pointer)?;
        if nodes.contains(&node) {
            return fault(&pointer, "stands twice");
        }
        nodes.push(node);
    }
    Ok(nodes)
}

/// A list of different names, each without a fault.
pub(super) fn names(
    value: &Value,
    pointer: &str,
    check: fn(&str) -> Option<String>,
) -> Result<Vec<String>, OrderError> {
    let mut names: Vec<String> = Vec::new();
    for (index, item) in list(value, pointer)?.iter().enumerate() {
        let pointer = format!("{pointer}/{index}");
        let Some(name) = item.as_str() else { return fault(&pointer, "must be a string") };
        if let Some(detail) = check(name) {
            return fault(&pointer, &detail);
        }
        if names.iter().any(|earlier| earlier == name) {
            return fault(&pointer, "stands twice");
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

/// A list that is neither empty nor absurdly long.
pub(super) fn list<'a>(value: &'a Value, pointer: &str) -> Result<&'a [Value], OrderError> {
    match value.as_array() {
        Some(items) if (1..=MAX_NAMES).contains(&items.len()) => Ok(items),
        _ => fault(pointer, &format!("must be a list of 1 to {MAX_NAMES}")),
    }
}

/// The members of an object and where it stands.
pub(super) struct Members<'a> {
    members: &'a Map<String, Value>,
    pointer: &'static str,
}

impl<'a> Members<'a> {
    /// The members of the object at this place.
    pub fn of(value: &'a Value, pointer: &'static str) -> Result<Self, OrderError> {
        match value.as_object() {
            Some(members) => Ok(Self { members, pointer }),
            None => fault(pointer, "must be an object"),
        }
    }

    /// Refuses every key but these.
    pub fn only(&self, known: &[&str]) -> Result<(), OrderError> {
        match self.members.keys().find(|key| !known.contains(&key.as_str())) {
            None => Ok(()),
            Some(key) => {
                let key = key.replace('~', "~0").replace('/', "~1");
                fault(&format!("{}/{key}", self.pointer), &format!("is not known; known are {}", known.join(", ")))
            }
        }
    }

    /// The one member with one of these keys.
    pub fn exactly_one(&self, keys: &[&'static str]) -> Result<(&'static str, &'a Value), OrderError> {
        let mut present = keys.iter().filter_map(|&key| self.members.get(key).map(|value| (key, value)));
        match (present.next(), present.next()) {
            (Some(member), None) => Ok(member),
            _ if keys.len() == 1 => fault(self.pointer, &format!("must have `{}`", keys[0])),
            _ => fault(self.pointer, &format!("must have exactly one of {}", keys.join(", "))),
        }
    }
}

/// An order with a fault at this place.
pub(super) fn fault<T>(pointer: &str, detail: &str) -> Result<T, OrderError> {
    Err(OrderError::Fault(Fault { pointer: pointer.to_owned(), detail: detail.to_owned() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointer(document: Value) -> String {
        match parse(&document) {
            Err(OrderError::Fault(fault)) => fault.pointer,
            other => panic!("{document} gave {other:?}"),
        }
    }

    #[test]
    fn every_form_is_read_and_written_back() {
        for document in [
            json!({"wider": {"nodes": ["hidden1"], "factor": 2.0, "split": "replicate"}}),
            json!({"wider": {"all": true, "to": 32, "split": {"paper": {"noise": 0.1}}}}),
            json!({"wider": {"nodes": ["a", "b"], "to": 3, "split": "fresh"}}),
            json!({"deeper": {"after": ["hidden1"], "kind": "identity"}}),
            json!({"deeper": {"all": true, "kind": "residual"}}),
            json!({"deeper": {"matching": "module*", "kind": "identity", "norm": "batch", "factor": 1.5}}),
            json!({"deeper": {"after": ["a"], "kind": "residual", "to": 32}}),
            json!({"wider": {"matching": "module*", "factor": 2.0, "split": "fresh"}}),
            json!({"inputs": {"feature": "colour", "categories": ["red", "green"]}}),
            json!({"inputs": {"features": [
                {"name": "site", "kind": "categorical", "max_categories": 9, "optional": true},
                {"name": "spectrum", "kind": "vector", "size": 4, "optional": true},
            ]}}),
            json!({"classes": ["7", "8"]}),
            json!({"auto": true}),
        ] {
            assert_eq!(render(&parse(&document).unwrap()), document);
        }
    }

    #[test]
    fn short_forms_mean_the_long_ones() {
        for (short, long) in [
            (
                json!({"wider": {"node": "hidden1", "factor": 2}}),
                json!({"wider": {"nodes": ["hidden1"], "factor": 2.0, "split": "replicate"}}),
            ),
            (
                json!({"wider": {"all": true, "factor": 1.5, "split": "paper"}}),
                json!({"wider": {"all": true, "factor": 1.5, "split": {"paper": {"noise": 0.0}}}}),
            ),
            (json!({"deeper": {"after": "x"}}), json!({"deeper": {"after": ["x"], "kind": "identity"}})),
        ] {
            assert_eq!(render(&parse(&short).unwrap()), long);
        }
    }

    #[test]
    fn a_fault_points_at_its_place() {
        for (document, expected) in [
            (json!([]), ""),
            (json!({}), ""),
            (json!({"auto": true, "classes": ["a"]}), ""),
            (json!({"taller": {}}), "/taller"),
            (json!({"auto": false}), "/auto"),
            (json!({"wider": 7}), "/wider"),
            (json!({"wider": {"all": true}}), "/wider"),
            (json!({"wider": {"factor": 2}}), "/wider"),
            (json!({"wider": {"all": true, "node": "a", "factor": 2}}), "/wider"),
            (json!({"wider": {"all": true, "to": 3, "factor": 2}}), "/wider"),
            (json!({"wider": {"all": false, "factor": 2}}), "/wider/all"),
            (json!({"wider": {"all": true, "factor": 1}}), "/wider/factor"),
            (json!({"wider": {"all": true, "factor": "2"}}), "/wider/factor"),
            (json!({"wider": {"all": true, "to": 0}}), "/wider/to"),
            (json!({"wider": {"all": true, "to": 2.5}}), "/wider/to"),
            (json!({"wider": {"all": true, "to": 3, "by": 1}}), "/wider/by"),
            (json!({"wider": {"nodes": [], "to": 3}}), "/wider/nodes"),
            (json!({"wider": {"nodes": ["a", "a"], "to": 3}}), "/wider/nodes/1"),
            (json!({"wider": {"node": 3, "to": 3}}), "/wider/node"),
            (json!({"wider": {"all": true, "to": 3, "split": "half"}}), "/wider/split"),
            (json!({"wider": {"all": true, "to": 3, "split": {"paper": {"noise": -1}}}}), "/wider/split/paper/noise"),
            (json!({"deeper": {"after": "a", "kind": "tall"}}), "/deeper/kind"),
            (json!({"deeper": {"after": "a", "kind": 1}}), "/deeper/kind"),
            (json!({"deeper": {"after": "a", "norm": "layer"}}), "/deeper/norm"),
            (json!({"deeper": {"after": "a", "to": 1, "factor": 2}}), "/deeper"),
            (json!({"deeper": {"after": "a", "factor": 1}}), "/deeper/factor"),
            (json!({"deeper": {"matching": ""}}), "/deeper/matching"),
            (json!({"wider": {"matching": 3, "factor": 2}}), "/wider/matching"),
            (json!({"deeper": {}}), "/deeper"),
            (json!({"inputs": {"feature": "colour"}}), "/inputs"),
            (json!({"inputs": {"feature": 1, "categories": ["a"]}}), "/inputs/feature"),
            (json!({"inputs": {"feature": "colour", "categories": [1]}}), "/inputs/categories/0"),
            (json!({"classes": ["a", "a"]}), "/classes/1"),
            (json!({"classes": "a"}), "/classes"),
        ] {
            assert_eq!(pointer(document.clone()), expected, "{document}");
        }
    }

    #[test]
    fn an_evil_node_name_is_a_node_that_is_not_there() {
        let document = json!({"wider": {"node": "../../etc", "factor": 2}});
        assert_eq!(parse(&document), Err(OrderError::NoSuchNode("../../etc".into())));
    }
}
