//! Certificates: what they measure, and that they find what is wrong.

use candle_core::{Device, Tensor};

use super::super::*;
use super::fixtures::*;
use crate::compute::optimizer::Optimizer;
use crate::network::builders::NetworkSpec;
use crate::network::{Network, ParameterId, Shape};

fn moved(state: &State, parameter: &str, by: f32) -> State {
    let mut state = state.clone();
    let id = ParameterId::from_stored(parameter);
    let mut values = numbers(&state, parameter);
    values[0] += by;
    let tensor = Tensor::from_vec(values, state.parameters[&id].shape(), &Device::Cpu).unwrap();
    state.parameters.insert(id, tensor);
    state
}

fn certificate(network: &Network, teacher: &State, plan: &Plan, student: &State) -> Certificate {
    let sides = ((network, &teacher.parameters), (plan.student(), &student.parameters));
    certify(plan, sides.0, sides.1, &probe(network)).unwrap()
}

#[test]
fn a_student_that_differs_is_not_certified() {
    let network = mlp(&[4]);
    let teacher = state(&network, &Optimizer::ADAM);
    let (plan, student, good) = grow(&network, &teacher, &wider_all(2.0, Split::Replicate));
    assert!(good.preserved && good.max_rel_diff < 1e-12 && good.served_max_rel_diff < 1e-5, "{good:?}");
    assert_eq!((good.rows, good.random_rows, good.limit), (20, 64, 1e-5));
    for (parameter, by) in [("output/bias", 1e-3), ("output/weight", 1e-2), ("hidden1/bias", 0.1)] {
        let bad = certificate(&network, &teacher, &plan, &moved(&student, parameter, by));
        assert!(!bad.preserved && bad.max_rel_diff > 1e-5, "{parameter}: {bad:?}");
    }
    let fresh = grow(&network, &teacher, &wider_all(2.0, Split::Fresh));
    let bad = certificate(&network, &teacher, &fresh.0, &moved(&fresh.1, "output/bias", 1e-6));
    assert!(!bad.preserved && bad.limit == 0.0, "{bad:?}");
}

#[test]
fn errors_of_both_signs_do_not_cancel() {
    let network = mlp(&[4]);
    let teacher = state(&network, &Optimizer::ADAM);
    let (plan, mut student, _) = grow(&network, &teacher, &wider_all(2.0, Split::Replicate));
    let off = Tensor::new(&[1e-3f32, -1e-3, 0.0], &Device::Cpu).unwrap();
    let bias = student.parameters.get_mut(&ParameterId::from_stored("output/bias")).unwrap();
    *bias = (&*bias + off).unwrap();
    assert!(!certificate(&network, &teacher, &plan, &student).preserved);
}

#[test]
fn numbers_that_are_none_are_never_certified_and_can_be_stored() {
    let network = mlp(&[4]);
    let teacher = state(&network, &Optimizer::ADAM);
    let (plan, student, _) = grow(&network, &teacher, &wider_all(2.0, Split::Replicate));
    for (teacher, student) in [
        (teacher.clone(), moved(&student, "output/bias", f32::NAN)),
        (moved(&teacher, "output/bias", f32::INFINITY), moved(&student, "output/bias", f32::INFINITY)),
    ] {
        let bad = certificate(&network, &teacher, &plan, &student);
        assert!(!bad.preserved);
        let stored: Certificate = serde_json::from_str(&serde_json::to_string(&bad).unwrap()).unwrap();
        assert_eq!(stored, bad);
    }
}

#[test]
fn training_mode_is_measured_where_the_growth_is_exact_there() {
    let network = NetworkSpec::Mlp { hidden: vec![4], dropout: 0.5 }.build(&Shape::flat(5), 3).unwrap();
    let teacher = state(&network, &Optimizer::ADAM);
    let measured = |request| grow(&network, &teacher, &request).2.train_max_rel_diff;
    assert_eq!(measured(wider_all(2.0, Split::Replicate)), None, "copies have masks of their own");
    assert!(measured(deeper(&["hidden1"], DeeperKind::Identity)).is_some_and(|relative| relative <= 1e-12));
    assert_eq!(measured(deeper(&["hidden1"], DeeperKind::Residual)), Some(0.0));
    let network = cnn(&[2, 3]);
    let certificate = grow(&network, &state(&network, &Optimizer::ADAM), &wider_all(2.0, Split::Replicate)).2;
    assert!(certificate.train_max_rel_diff.is_some_and(|relative| relative <= 1e-9), "batch statistics are copied");
}

#[test]
fn probe_rows_are_bounded_and_must_fit() {
    let network = mlp(&[4]);
    let teacher = state(&network, &Optimizer::ADAM);
    let (plan, student, _) = grow(&network, &teacher, &wider_all(2.0, Split::Replicate));
    let certify_rows = |rows: Vec<Vec<f32>>| {
        let probe = Probe { rows, seed: 1 };
        certify(&plan, (&network, &teacher.parameters), (plan.student(), &student.parameters), &probe)
    };
    assert_eq!(certify_rows(vec![vec![0.5; 5]; 300]).unwrap().rows, 256);
    assert!(certify_rows(Vec::new()).unwrap().preserved);
    assert!(matches!(certify_rows(vec![vec![0.5; 4]]), Err(GrowthError::Mismatch(_))));
}
