//! Plans as values: stored, read back, compared, and applied later to the same bits.

use candle_core::Tensor;
use proptest::prelude::*;

use super::super::*;
use super::fixtures::*;
use crate::compute::optimizer::Optimizer;
use crate::network::Network;
use crate::network::samples::{Masks, graph};

/// A request of every kind, by its number; most networks refuse some.
fn request(kind: usize) -> GrowthRequest {
    let nodes = Nodes::All;
    match kind {
        0 => wider_all(1.5, Split::Replicate),
        1 => wider_all(2.0, Split::Paper { noise: 0.25 }),
        2 => wider_all(1.3, Split::Fresh),
        3 => GrowthRequest::Wider(Wider { nodes, extent: Extent::To(7), split: Split::RandomPad }),
        4 => GrowthRequest::Deeper(Deeper::plain(Nodes::Matching("n*".into()), DeeperKind::Residual)),
        5 => GrowthRequest::Deeper(Deeper {
            after: nodes,
            kind: DeeperKind::Identity,
            norm: NewNorm::Batch,
            width: Some(Extent::Factor(1.5)),
        }),
        6 => GrowthRequest::Inputs { add: 2 },
        _ => GrowthRequest::Classes { add: 2, epsilon: 1e-3, log_sum_exp: 0.7 },
    }
}

const KINDS: usize = 8;

fn read_back(plan: &Plan) -> Plan {
    serde_json::from_str(&serde_json::to_string(plan).unwrap()).unwrap()
}

fn bits(tensor: &Tensor) -> Vec<u32> {
    tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
}

fn assert_same_bits(first: &State, second: &State) {
    assert!(first.parameters.keys().eq(second.parameters.keys()));
    for (id, value) in &first.parameters {
        assert_eq!(bits(value), bits(&second.parameters[id]), "{id}");
    }
    assert_eq!(first.optimizer.step, second.optimizer.step);
    assert!(first.optimizer.moments.keys().eq(second.optimizer.moments.keys()));
    for (id, moments) in &first.optimizer.moments {
        let other = &second.optimizer.moments[id];
        assert_eq!(moments.first.as_ref().map(bits), other.first.as_ref().map(bits), "{id}");
        assert_eq!(moments.second.as_ref().map(bits), other.second.as_ref().map(bits), "{id}");
        assert_eq!(format!("{:?}", moments.out_births), format!("{:?}", other.out_births), "{id}");
        assert_eq!(format!("{:?}", moments.in_births), format!("{:?}", other.in_births), "{id}");
    }
}

/// The measured plan and the student of a request, unless the network refuses it.
fn grown(network: &Network, request: &GrowthRequest, seed: u64) -> Option<(Plan, State)> {
    let state = state(network, &Optimizer::ADAM);
    let plan = plan(network, request, seed).ok()?;
    let plan = measure(plan, network, &state.parameters, &probe(network)).unwrap();
    let grown = apply(&plan, network, &state, &Optimizer::ADAM).unwrap();
    Some((plan, grown))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn a_stored_plan_is_the_same_plan_and_gives_the_same_bits(seed in 0u64..10_000, kind in 0..KINDS) {
        let network = graph(seed, Masks::Some);
        let Some((plan, student)) = grown(&network, &request(kind), seed) else { return Ok(()) };
        let stored = read_back(&plan);
        prop_assert_eq!(&stored, &plan);
        prop_assert!(PlanDiff::between(&plan, &stored).is_empty());
        let again = apply(&stored, &network, &state(&network, &Optimizer::ADAM), &Optimizer::ADAM).unwrap();
        assert_same_bits(&student, &again);
    }

    #[test]
    fn the_same_network_request_and_seed_give_the_same_plan_and_student(seed in 0u64..10_000, kind in 0..KINDS) {
        let once = grown(&graph(seed, Masks::Some), &request(kind), seed);
        let twice = grown(&graph(seed, Masks::Some), &request(kind), seed);
        match (once, twice) {
            (Some((first, student)), Some((second, other))) => {
                prop_assert_eq!(serde_json::to_string(&first).unwrap(), serde_json::to_string(&second).unwrap());
                assert_same_bits(&student, &other);
            }
            (None, None) => {}
            _ => prop_assert!(false, "refused only once"),
        }
    }

    #[test]
    fn what_a_plan_says_of_its_nodes_adds_up(seed in 0u64..10_000, kind in 0..KINDS) {
        let network = graph(seed, Masks::Some);
        let Some((plan, _)) = grown(&network, &request(kind), seed) else { return Ok(()) };
        let more: i64 =
            plan.touched.iter().map(|node| node.parameters_after as i64 - node.parameters_before as i64).sum();
        prop_assert_eq!(more, plan.parameters_after as i64 - plan.parameters_before as i64);
        let work: i64 = plan.touched.iter().map(|node| node.flops_after as i64 - node.flops_before as i64).sum();
        prop_assert_eq!(work, plan.flops_after as i64 - plan.flops_before as i64);
        for set in plan.sets() {
            prop_assert!(!set.nodes.is_empty() && set.channels_after > set.channels_before, "{set:?}");
        }
    }
}

#[test]
fn every_kind_of_request_is_planned_for_an_mlp() {
    let planned = (0..KINDS).filter(|&kind| grown(&mlp(&[4, 3]), &request(kind), 1).is_some()).count();
    // No node of an mlp is called as the pattern wants.
    assert_eq!(planned, KINDS - 1);
}

#[test]
fn most_requests_are_planned_for_most_graphs() {
    let planned = |number: &usize| {
        let network = graph(*number as u64, Masks::Some);
        plan(&network, &request(number % KINDS), 1).is_ok()
    };
    assert!((0..100).filter(planned).count() > 50, "the properties above would say little");
}

#[test]
fn nodes_that_share_their_channels_are_one_set() {
    let plan = plan(&residual(), &wider(&["stem"], Extent::To(6), Split::Replicate), 1).unwrap();
    let nodes = ["stem", "a_outer", "b_outer"].map(id).to_vec();
    assert_eq!(plan.sets(), [ChannelSet { nodes, channels_before: 4, channels_after: 6 }]);
    let changes: Vec<(&str, NodeChange)> = plan.touched.iter().map(|node| (node.node.as_str(), node.change)).collect();
    assert_eq!(changes[0], ("stem", NodeChange::Wider));
    assert!(changes.contains(&("a_sum", NodeChange::Carried)) && changes.contains(&("a_inner", NodeChange::Columns)));
    assert!(!changes.iter().any(|(node, _)| *node == "a_relu"), "{changes:?}");
}

#[test]
fn new_inputs_are_the_inputs_own_set() {
    let plan = plan(&mlp(&[4]), &request(6), 1).unwrap();
    let nodes = vec![crate::network::NodeId::input()];
    // All five inputs are one set of channels, of which two are new.
    assert_eq!(plan.sets(), [ChannelSet { nodes, channels_before: 5, channels_after: 7 }]);
}

#[test]
fn another_seed_is_another_choice_of_units_and_nothing_else() {
    let network = mlp(&[9]);
    let of = |seed| plan(&network, &request(0), seed).unwrap();
    let difference = PlanDiff::between(&of(1), &of(2));
    let growths = StepDiff { step: 0, parts: vec![StepPart::Growths] };
    let expected =
        PlanDiff { seed: Some(Changed { first: 1, second: 2 }), steps: vec![growths], ..PlanDiff::default() };
    assert_eq!(difference, expected);
    assert_eq!(serde_json::from_value::<PlanDiff>(serde_json::to_value(&difference).unwrap()).unwrap(), difference);
}

#[test]
fn a_difference_tells_by_node_what_is_otherwise() {
    let network = mlp(&[4, 4]);
    let first = plan(&network, &wider(&["hidden1"], Extent::To(6), Split::Replicate), 1).unwrap();
    let second = plan(&network, &wider(&["hidden2"], Extent::To(6), Split::Fresh), 1).unwrap();
    let difference = PlanDiff::between(&first, &second);
    let names = |nodes: &[TouchedNode]| nodes.iter().map(|touched| touched.node.to_string()).collect::<Vec<_>>();
    assert_eq!(names(&difference.only_first), ["hidden1", "hidden1_relu"]);
    assert_eq!(names(&difference.only_second), ["hidden2_relu", "output"]);
    let [hidden2] = &difference.nodes[..] else { panic!("{difference:?}") };
    assert_eq!(hidden2.change, Some(Changed { first: NodeChange::Columns, second: NodeChange::Wider }));
    assert_eq!((&hidden2.op, &hidden2.shape_before), (&None, &None));
    assert_eq!(difference.preserves, Some(Changed { first: Preserves::Function, second: Preserves::Bits }));
    assert!(difference.request.is_some() && difference.op.is_none() && difference.parameters_before.is_none());
}

#[test]
fn a_step_that_only_one_plan_has_is_said_to_be_missing() {
    let deeper = |width| {
        let (after, kind) = (Nodes::All, DeeperKind::Identity);
        let request = GrowthRequest::Deeper(Deeper { after, kind, norm: NewNorm::None, width });
        plan(&mlp(&[4]), &request, 1).unwrap()
    };
    let difference = PlanDiff::between(&deeper(None), &deeper(Some(Extent::Factor(2.0))));
    assert_eq!(difference.steps, [StepDiff { step: 1, parts: vec![StepPart::Presence] }]);
}
