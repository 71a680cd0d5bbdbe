//! Widenings: who grows with whom, which values go where.

use super::super::*;
use super::fixtures::*;
use crate::compute::optimizer::Optimizer;
use crate::network::ops::conv2d::Conv2d;
use crate::network::ops::flatten::Flatten;
use crate::network::ops::global_avg_pool::GlobalAvgPool;
use crate::network::ops::group_norm::GroupNorm;
use crate::network::ops::layer_norm::LayerNorm;
use crate::network::ops::linear::Linear;
use crate::network::ops::mul::Mul;
use crate::network::ops::sigmoid::Sigmoid;
use crate::network::ops::silu::Silu;
use crate::network::{Network, Shape};

const TO_6: Extent = Extent::To(6);

fn widths(network: &Network, nodes: &[&str]) -> Vec<usize> {
    nodes.iter().map(|node| width(network, node)).collect()
}

fn certified(network: &Network, request: &GrowthRequest) -> (Plan, State) {
    let (plan, grown, certificate) = grow(network, &state(network, &Optimizer::ADAM), request);
    assert!(certificate.preserved, "{certificate:?}");
    (plan, grown)
}

#[test]
fn old_units_keep_their_places_and_copies_come_last() {
    let network = mlp(&[4]);
    let before = state(&network, &Optimizer::ADAM);
    let (plan, after, _) = grow(&network, &before, &wider(&["hidden1"], TO_6, Split::Replicate));
    let Added::Copies(copies) = &plan.steps[0].growths[0].added else { panic!("{plan:?}") };
    let (old, new) = (numbers(&before, "hidden1/weight"), numbers(&after, "hidden1/weight"));
    assert_eq!(new[..20], old[..]);
    for (copy, source) in copies.iter().enumerate() {
        assert_eq!(new[20 + copy * 5..25 + copy * 5], old[source * 5..source * 5 + 5]);
    }
    let (old, new) = (numbers(&before, "hidden1/bias"), numbers(&after, "hidden1/bias"));
    assert_eq!(new, [&old[..], &[old[copies[0]], old[copies[1]]]].concat(), "the bias is widened too");
    assert_ne!(copies[0], copies[1], "every unit is copied once before any twice");
}

#[test]
fn a_unit_and_its_copies_share_each_outgoing_weight_exactly() {
    let network = mlp(&[2]);
    let before = state(&network, &Optimizer::ADAM);
    for split in [Split::Replicate, Split::Paper { noise: 0.0 }] {
        let (_, after, _) = grow(&network, &before, &wider(&["hidden1"], TO_6, split));
        let (old, new) = (numbers(&before, "output/weight"), numbers(&after, "output/weight"));
        for (index, &whole) in old.iter().enumerate() {
            let copies = (0..3).map(|copy| f64::from(new[index / 2 * 6 + index % 2 + copy * 2]));
            assert_eq!(copies.sum::<f64>(), f64::from(whole));
        }
    }
}

#[test]
fn fresh_units_have_random_incoming_and_zero_outgoing_weights() {
    let network = mlp(&[4, 3]);
    let before = state(&network, &Optimizer::ADAM);
    let (_, after, _) = grow(&network, &before, &wider(&["hidden1"], TO_6, Split::Fresh));
    let incoming = &numbers(&after, "hidden1/weight")[20..];
    assert!(incoming.iter().all(|weight| *weight != 0.0) && incoming[..5] != incoming[5..]);
    assert!(numbers(&after, "hidden2/weight").chunks(6).all(|row| row[4..] == [0.0, 0.0] && row[0] != 0.0));
    let again = grow(&network, &before, &wider_all(2.0, Split::Fresh)).1;
    let twice = grow(
        plan(&network, &wider_all(2.0, Split::Fresh), 5).unwrap().student(),
        &again,
        &wider_all(2.0, Split::Fresh),
    )
    .1;
    let rows = numbers(&twice, "hidden1/weight");
    assert_ne!(rows[20..40], rows[40..60], "two growths by one seed draw different units");
}

#[test]
fn every_new_channel_of_a_norm_is_a_copy_of_its_source() {
    let network = cnn(&[2, 3]);
    let before = state(&network, &Optimizer::ADAM);
    let (plan, after, _) = grow(&network, &before, &wider(&["conv1"], TO_6, Split::Replicate));
    let growth = &plan.steps[0].growths[0];
    for name in ["scale", "shift", "running_mean", "running_variance"] {
        let (old, new) =
            (numbers(&before, &format!("conv1_norm/{name}")), numbers(&after, &format!("conv1_norm/{name}")));
        assert_eq!(new.len(), 6);
        (0..6).for_each(|index| assert_eq!(new[index], old[growth.source(index).unwrap()], "{name}"));
    }
}

#[test]
fn each_channel_owns_a_block_of_columns_behind_a_flatten() {
    let network = flattened();
    let (plan, _) = certified(&network, &wider(&["conv"], TO_6, Split::Replicate));
    assert_eq!(widths(plan.student(), &["conv", "norm", "flatten", "hidden"]), [6, 6, 36, 4]);
    assert_eq!(plan.steps[0].layouts[&id("flatten")], [ChannelRange { units: 3, block: 6, growth: Some(0) }]);
}

#[test]
fn a_sum_widens_all_that_enter_it_with_the_stem() {
    for named in ["stem", "a_outer", "b_outer"] {
        let (plan, _) = certified(&residual(), &wider(&[named], TO_6, Split::Replicate));
        let shared = ["stem", "stem_norm", "a_outer", "a_sum", "b_norm", "b_outer", "b_sum", "end"];
        assert_eq!(widths(plan.student(), &shared), [6; 8]);
        assert_eq!(widths(plan.student(), &["a_inner", "output"]), [3, 2]);
        assert_eq!(plan.steps[0].growths.len(), 1, "one mapping for all of them");
    }
    let (plan, _) = certified(&residual(), &wider(&["a_inner"], TO_6, Split::Fresh));
    assert_eq!(widths(plan.student(), &["a_inner", "stem", "a_outer"]), [6, 4, 4]);
}

#[test]
fn a_tensor_that_enters_a_concatenation_twice_is_two_ranges() {
    let (plan, _) = certified(&branching(), &wider(&["a"], TO_6, Split::Replicate));
    assert_eq!(widths(plan.student(), &["a", "joined", "c", "sum"]), [6, 14, 14, 14]);
    let joined = &plan.steps[0].layouts[&id("joined")];
    let units: Vec<usize> = joined.iter().map(|range| range.units).collect();
    assert_eq!(units, [1, 2, 2, 1, 2], "`part` cuts `a` behind its first channel");
    assert_eq!(width(plan.student(), "part"), width(plan.student(), "d"));
}

#[test]
fn a_node_that_shares_its_channels_in_parts_grows_to_the_size_asked_for() {
    let (plan, _) = certified(&branching(), &wider(&["c"], Extent::To(16), Split::Replicate));
    assert_eq!(widths(plan.student(), &["c", "joined"]), [16, 16]);
    assert_eq!(width(plan.student(), "a") * 2 + width(plan.student(), "b"), 16);
}

#[test]
fn factors_are_rounded_up_to_whole_channels() {
    let grown = |hidden, factor| {
        let plan = plan(&mlp(&[hidden]), &wider_all(factor, Split::Replicate), 1).unwrap();
        width(plan.student(), "hidden1")
    };
    assert_eq!((grown(10, 1.1), grown(5, 1.5), grown(3, 2.0), grown(4, 1.0 + 1e-12)), (11, 8, 6, 5));
}

#[test]
fn all_hidden_layers_grow_and_the_output_stays() {
    let (plan, _) = certified(&mlp(&[4, 3]), &wider_all(2.0, Split::Replicate));
    assert_eq!(plan.student().summary(), "5-8-6-3");
    let touched: Vec<&str> = plan.touched.iter().map(|touched| touched.node.as_str()).collect();
    assert_eq!(touched, ["hidden1", "hidden1_relu", "hidden2", "hidden2_relu", "output"]);
    let output = plan.touched.last().unwrap();
    assert_eq!((output.parameters_before, output.parameters_after), (12, 21));
    assert_eq!((output.shape_before.as_ref(), &output.shape_after), (Some(&Shape::flat(3)), &Shape::flat(3)));
}

#[test]
fn a_norm_across_channels_takes_equal_copies_of_all_and_nothing_else() {
    let nodes = vec![
        node("below", Linear { out: 3 }, &["input"]),
        node("norm", LayerNorm::default(), &["below"]),
        node("output", Linear { out: 2 }, &["norm"]),
    ];
    let network = Network::new(Shape::flat(4), nodes).unwrap();
    certified(&network, &wider(&["below"], Extent::To(9), Split::Replicate));
    certified(&network, &wider_all(2.0, Split::Paper { noise: 0.0 }));
    for request in [
        wider(&["below"], Extent::To(7), Split::Replicate),
        wider(&["below"], TO_6, Split::Fresh),
        wider_all(1.5, Split::Replicate),
    ] {
        let Refusal::Node { node, reason } = refusal(&network, &request) else { panic!("{request:?}") };
        assert_eq!(node, id("norm"));
        assert!(reason.contains("equally often"), "{reason}");
    }
}

#[test]
fn copies_stand_inside_the_group_of_a_norm() {
    let nodes = vec![
        node("below", Linear { out: 4 }, &["input"]),
        node("norm", GroupNorm { groups: 2, epsilon: 1e-5 }, &["below"]),
        node("output", Linear { out: 2 }, &["norm"]),
    ];
    let network = Network::new(Shape::flat(4), nodes).unwrap();
    let before = numbers(&state(&network, &Optimizer::ADAM), "below/bias");
    let (_, grown) = certified(&network, &wider(&["below"], Extent::To(8), Split::Replicate));
    let after = numbers(&grown, "below/bias");
    for (old, new) in before.chunks(2).zip(after.chunks(4)) {
        assert!(old.iter().all(|old| new.iter().filter(|new| *new == old).count() == 2), "{before:?} {after:?}");
    }
}

#[test]
fn a_gate_grows_with_the_planes_that_it_scales() {
    let nodes = vec![
        node("conv", Conv2d::same(3, [3, 3]), &["input"]),
        node("silu", Silu, &["conv"]),
        node("squeeze", GlobalAvgPool, &["silu"]),
        node("narrow", Linear { out: 2 }, &["squeeze"]),
        node("excite", Linear { out: 3 }, &["narrow"]),
        node("gate", Sigmoid, &["excite"]),
        node("gated", Mul, &["silu", "gate"]),
        node("flatten", Flatten, &["gated"]),
        node("output", Linear { out: 2 }, &["flatten"]),
    ];
    let network = Network::new(Shape::image(1, 4, 5), nodes).unwrap();
    for split in [Split::Replicate, Split::Fresh] {
        let (plan, _) = certified(&network, &wider(&["conv"], Extent::To(5), split));
        assert_eq!(widths(plan.student(), &["conv", "narrow", "excite", "gated"]), [5, 2, 5, 5]);
    }
}

#[test]
fn noise_is_only_on_the_copies_outgoing_weights_and_makes_the_plan_approximate() {
    let network = mlp(&[4]);
    let before = state(&network, &Optimizer::ADAM);
    let request = |noise| wider(&["hidden1"], TO_6, Split::Paper { noise });
    let (exact, plain, _) = grow(&network, &before, &request(0.0));
    let (noisy, moved, certificate) = grow(&network, &before, &request(0.01));
    assert_eq!(exact.preserves, Preserves::Function);
    assert_eq!(noisy.preserves, Preserves::Approximately { tolerance: 0.1 });
    assert_eq!(numbers(&plain, "hidden1/weight"), numbers(&moved, "hidden1/weight"));
    let rows = |state: &State| numbers(state, "output/weight").chunks(6).map(<[f32]>::to_vec).collect::<Vec<_>>();
    for (plain, moved) in rows(&plain).iter().zip(rows(&moved)) {
        assert_eq!(plain[..4], moved[..4], "old columns carry no noise");
        assert!(plain[4] != moved[4] && plain[5] != moved[5]);
    }
    assert!(certificate.preserved && certificate.max_rel_diff > 1e-5, "{certificate:?}");
}

#[test]
fn a_growth_is_a_function_of_network_request_and_seed() {
    let network = residual();
    let before = state(&network, &Optimizer::ADAM);
    let request = wider_all(1.5, Split::Replicate);
    let values = |seed| {
        let (plan, grown, _) = grow_by(&network, &before, &request, seed);
        (serde_json::to_string(&plan).unwrap(), numbers(&grown, "output/weight"))
    };
    assert_eq!(values(1), values(1));
    assert_ne!(values(1), values(2));
}

#[test]
fn a_stored_plan_does_the_same() {
    for network in [mlp(&[4, 3]), flattened(), residual()] {
        let before = state(&network, &Optimizer::ADAM);
        for request in [
            wider_all(1.7, Split::Replicate),
            wider_all(1.7, Split::Fresh),
            GrowthRequest::Deeper(Deeper::plain(Nodes::All, DeeperKind::Residual)),
            GrowthRequest::Classes { add: 2, epsilon: 0.01, log_sum_exp: 0.25 },
        ] {
            let (plan, grown, _) = grow(&network, &before, &request);
            let stored: Plan = serde_json::from_str(&serde_json::to_string(&plan).unwrap()).unwrap();
            assert_eq!(stored, plan);
            let again = apply(&stored, &network, &before, &Optimizer::ADAM).unwrap();
            for id in grown.parameters.keys() {
                assert_eq!(numbers(&again, id.as_str()), numbers(&grown, id.as_str()));
            }
        }
    }
}
