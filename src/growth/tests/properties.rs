//! Any network, any sequence of growths: the function stays.
//!
//! `PROPTEST_CASES` says how many cases each property takes, thousands if asked.

use proptest::prelude::*;

use super::super::*;
use super::fixtures::*;
use crate::compute::optimizer::Optimizer;
use crate::network::samples::{Masks, graph};
use crate::network::{Network, NodeId};

/// A network that is grown further has at most so many parameters, so that a long chain ends.
const LARGEST: u64 = 20_000;

/// What is asked for; nodes by their place among those that there are by then.
#[derive(Debug, Clone)]
enum Asked {
    Wider { nodes: Vec<prop::sample::Index>, extent: AskedExtent, split: Split },
    Deeper { nodes: Vec<prop::sample::Index>, kind: DeeperKind, norm: NewNorm, width: Option<f64> },
    Inputs(usize),
    Classes(usize),
}

#[derive(Debug, Clone, Copy)]
enum AskedExtent {
    Factor(f64),
    More(usize),
}

fn asked() -> impl Strategy<Value = Asked> {
    let split = prop_oneof![Just(Split::Replicate), Just(Split::Paper { noise: 0.0 }), Just(Split::Fresh)];
    let extent = prop_oneof![
        (1.05f64..2.0).prop_map(AskedExtent::Factor),
        Just(AskedExtent::Factor(2.0)),
        (1usize..4).prop_map(AskedExtent::More)
    ];
    let nodes = || proptest::collection::vec(any::<prop::sample::Index>(), 0..3);
    let kind = prop_oneof![Just(DeeperKind::Identity), Just(DeeperKind::Residual)];
    let norm = prop_oneof![3 => Just(NewNorm::None), 1 => Just(NewNorm::Batch)];
    let width = prop_oneof![3 => Just(None), 1 => (1.1f64..2.0).prop_map(Some)];
    prop_oneof![
        4 => (nodes(), extent, split).prop_map(|(nodes, extent, split)| Asked::Wider { nodes, extent, split }),
        3 => (nodes(), kind, norm, width)
            .prop_map(|(nodes, kind, norm, width)| Asked::Deeper { nodes, kind, norm, width }),
        1 => (1usize..4).prop_map(Asked::Inputs),
        1 => (1usize..4).prop_map(Asked::Classes),
    ]
}

impl Asked {
    fn request(&self, network: &Network) -> GrowthRequest {
        match self {
            Self::Wider { nodes, extent, split } => {
                let producers: Vec<&NodeId> =
                    network.nodes().iter().filter(|node| node.op.produces_channels()).map(|node| &node.id).collect();
                let named = named(nodes, &producers);
                let extent = match (*extent, &named) {
                    (AskedExtent::Factor(factor), _) => Extent::Factor(factor),
                    (AskedExtent::More(more), Nodes::These(ids)) => {
                        Extent::To(network.shape(&ids[0]).unwrap().channels() + more)
                    }
                    (AskedExtent::More(more), _) => Extent::Factor(1.0 + more as f64 / 4.0),
                };
                GrowthRequest::Wider(Wider { nodes: named, extent, split: *split })
            }
            Self::Deeper { nodes, kind, norm, width } => {
                let all: Vec<&NodeId> = network.nodes().iter().map(|node| &node.id).collect();
                let (after, width) = (named(nodes, &all), width.map(Extent::Factor));
                GrowthRequest::Deeper(Deeper { after, kind: *kind, norm: *norm, width })
            }
            Self::Inputs(add) => GrowthRequest::Inputs { add: *add },
            Self::Classes(add) => GrowthRequest::Classes { add: *add, epsilon: 1e-3, log_sum_exp: 0.5 },
        }
    }
}

/// All where none is named.
fn named(places: &[prop::sample::Index], of: &[&NodeId]) -> Nodes {
    if places.is_empty() {
        return Nodes::All;
    }
    let mut ids: Vec<NodeId> = places.iter().map(|place| (*place.get(of)).clone()).collect();
    ids.sort();
    ids.dedup();
    Nodes::These(ids)
}

/// Grows as often as asked, skipping refusals; the number of growths that were made.
fn grow_all(network: Network, requests: &[Asked]) -> Result<usize, TestCaseError> {
    let (mut network, mut state) = (network.clone(), state(&network, &Optimizer::ADAM));
    let mut made = 0;
    for (step, asked) in requests.iter().enumerate() {
        let request = asked.request(&network);
        let planned = match plan(&network, &request, step as u64) {
            Ok(planned) => planned,
            Err(refusal) => {
                prop_assert!(!matches!(refusal, Refusal::UnknownNode { .. }), "{refusal:?}");
                continue;
            }
        };
        if planned.parameters_after > LARGEST {
            continue;
        }
        let (plan, grown, certificate) = grow_by(&network, &state, &request, step as u64);
        holds(&plan, &certificate).map_err(|error| TestCaseError::fail(format!("{request:?}: {error}")))?;
        fits(&plan, &grown)?;
        (network, state, made) = (plan.student().clone(), grown, made + 1);
    }
    Ok(made)
}

/// The certificate keeps what the plan promises, with room: what is above is a fault, not rounding.
fn holds(plan: &Plan, certificate: &Certificate) -> Result<(), String> {
    let limit = if plan.preserves == Preserves::Bits { 0.0 } else { 1e-9 };
    // Scale and shift of a norm that undoes itself are kept in f32.
    let limit = if plan.preserves == Preserves::Evaluation { 1e-5 } else { limit };
    let trained = certificate.train_limit.and(certificate.train_max_rel_diff).unwrap_or(0.0);
    let kept = certificate.preserved && certificate.max_rel_diff <= limit && trained <= limit;
    if kept { Ok(()) } else { Err(format!("{certificate:?}")) }
}

/// Everything of the student has the shape that its graph declares.
fn fits(plan: &Plan, grown: &State) -> Result<(), TestCaseError> {
    prop_assert_eq!(plan.parameters_after, plan.student().parameter_count());
    // New inputs of which nothing takes the end are the one growth without parameters.
    prop_assert!(plan.parameters_after >= plan.parameters_before + u64::from(plan.op != GrowthOp::Inputs));
    prop_assert_eq!(grown.parameters.len(), plan.student().parameters().count());
    for (name, spec) in plan.student().parameters() {
        prop_assert_eq!(grown.parameters[&name].dims(), &spec.dims[..]);
        let Some(moments) = grown.optimizer.moments.get(name.as_str()) else {
            continue;
        };
        for births in [&moments.out_births, &moments.in_births].into_iter().flatten() {
            prop_assert_eq!(births.steps.len(), spec.dims[births.axis]);
        }
        prop_assert_eq!(moments.first.as_ref().unwrap().dims(), &spec.dims[..]);
    }
    Ok(())
}

/// Each case grows several networks: fewer than usual unless `PROPTEST_CASES` says how many.
pub fn config() -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig { cases: std::env::var_os("PROPTEST_CASES").map_or(96, |_| usual.cases), ..usual }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_chain_of_growths_of_any_graph_keeps_the_function(
        seed in any::<u64>(),
        masks in prop_oneof![Just(Masks::None), Just(Masks::Some)],
        requests in proptest::collection::vec(asked(), 1..=10),
    ) {
        grow_all(graph(seed, masks), &requests)?;
    }

    #[test]
    fn any_chain_of_growths_of_known_networks_keeps_the_function(
        which in 0usize..5,
        requests in proptest::collection::vec(asked(), 1..=10),
    ) {
        let network = [mlp(&[4, 3]), cnn(&[3, 2]), flattened(), residual(), branching()][which].clone();
        grow_all(network, &requests)?;
    }

    #[test]
    fn a_refusal_names_a_node_or_says_what_the_request_lacks(seed in any::<u64>(), asked in asked()) {
        let network = graph(seed, Masks::Some);
        if let Err(refusal) = plan(&network, &asked.request(&network), 1) {
            match refusal {
                Refusal::Node { node, reason } => {
                    prop_assert!(node.is_input() || network.node(&node).is_some(), "{node}");
                    prop_assert!(reason.len() > 10);
                }
                Refusal::Request { reason } => prop_assert!(reason.len() > 10),
                other => prop_assert!(false, "{other:?}"),
            }
        }
    }
}

#[test]
fn most_random_networks_can_grow_wider_and_deeper() {
    let grown =
        |request: &GrowthRequest| (0..200).filter(|&seed| plan(&graph(seed, Masks::Some), request, 1).is_ok()).count();
    let wide = grown(&wider_all(2.0, Split::Replicate));
    let deep = grown(&GrowthRequest::Deeper(Deeper::plain(Nodes::All, DeeperKind::Residual)));
    let identity = grown(&GrowthRequest::Deeper(Deeper::plain(Nodes::All, DeeperKind::Identity)));
    assert!(wide > 120 && deep > 120 && identity > 40, "{wide} {deep} {identity}");
}

#[test]
fn a_network_can_double_again_and_again() {
    let wider = |factor, split| Asked::Wider { nodes: Vec::new(), extent: AskedExtent::Factor(factor), split };
    assert_eq!(grow_all(mlp(&[2, 2]), &vec![wider(2.0, Split::Replicate); 5]).unwrap(), 5);
    let mixed = [wider(1.5, Split::Fresh), wider(2.0, Split::Paper { noise: 0.0 })];
    assert_eq!(grow_all(cnn(&[2, 2]), &mixed).unwrap(), 2);
}
