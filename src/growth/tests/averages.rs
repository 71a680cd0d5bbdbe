//! An average of the weights is a network that is served: it grows by the maps and shares of the weights.

use candle_core::{Device, Tensor};

use super::super::*;
use super::fixtures::*;
use crate::compute::optimizer::Optimizer;
use crate::network::{Network, Parameters};

const ADAM: Optimizer = Optimizer::ADAM;

fn requests(network: &Network) -> Vec<GrowthRequest> {
    vec![
        wider_all(1.5, Split::Replicate),
        wider_all(2.0, Split::Paper { noise: 0.0 }),
        deeper(&[network.nodes()[0].id.as_str()], DeeperKind::Residual),
        GrowthRequest::Inputs { add: 2 },
        GrowthRequest::Classes { add: 2, epsilon: 0.1, log_sum_exp: 0.0 },
    ]
}

/// A state whose averages are not its weights.
fn averaged(network: &Network) -> State {
    let mut state = state(network, &ADAM);
    for (name, moments) in &mut state.optimizer.moments {
        let shape = moments.first.as_ref().unwrap().shape().clone();
        let drawn = normals(shape.elem_count(), &format!("{name}/average"));
        moments.average = Some((Tensor::from_vec(drawn, shape, &Device::Cpu).unwrap() * 0.5).unwrap());
    }
    state
}

/// Parameters with averages in their place.
fn served(state: &State) -> Parameters {
    let average = |name: &str| state.optimizer.moments.get(name).and_then(|moments| moments.average.clone());
    let all = state.parameters.iter();
    all.map(|(id, value)| (id.clone(), average(id.as_str()).unwrap_or_else(|| value.clone()))).collect()
}

fn grown(network: &Network, state: &State, request: &GrowthRequest) -> (Plan, State) {
    let planned = plan(network, request, 5).unwrap();
    let planned = measure(planned, network, &state.parameters, &probe(network)).unwrap();
    let grown = apply(&planned, network, state, &ADAM).unwrap();
    (planned, grown)
}

#[test]
fn the_averages_of_a_student_compute_what_those_of_its_teacher_did() {
    for network in [mlp(&[4, 3]), residual()] {
        let before = averaged(&network);
        for request in requests(&network) {
            let (plan, after) = grown(&network, &before, &request);
            let (teacher, student) = (served(&before), served(&after));
            let certificate = certify(&plan, (&network, &teacher), (plan.student(), &student), &probe(&network));
            let certificate = certificate.unwrap();
            assert!(certificate.preserved, "{request:?}: {certificate:?}");
            let weights = (plan.student(), &after.parameters);
            let certificate = certify(&plan, (&network, &teacher), weights, &probe(&network)).unwrap();
            assert!(!certificate.preserved, "the averages are not the weights: {request:?}");
        }
    }
}

#[test]
fn averages_that_are_the_weights_are_those_of_the_student_to_the_bit() {
    for network in [mlp(&[4, 3]), residual()] {
        let mut before = state(&network, &ADAM);
        for (id, value) in &before.parameters {
            if let Some(moments) = before.optimizer.moments.get_mut(id.as_str()) {
                moments.average = Some(value.clone());
            }
        }
        let all = requests(&network)
            .into_iter()
            .chain([wider_all(2.0, Split::Fresh), wider_all(2.0, Split::Paper { noise: 0.1 })]);
        for request in all {
            let (plan, after) = grown(&network, &before, &request);
            assert_eq!(after.optimizer.moments.len(), trained(plan.student()));
            for (name, moments) in &after.optimizer.moments {
                let average = moments.average.as_ref().unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
                let weights = numbers(&after, name);
                assert!(average.iter().zip(&weights).all(|(one, other)| one.to_bits() == other.to_bits()), "{name}");
            }
        }
    }
}

fn trained(network: &Network) -> usize {
    network.parameters().filter(|(_, spec)| spec.kind == crate::network::ParameterKind::Trained).count()
}

#[test]
fn a_state_without_averages_grows_none() {
    let network = mlp(&[4, 3]);
    for request in requests(&network) {
        let (_, after) = grown(&network, &state(&network, &ADAM), &request);
        assert!(after.optimizer.moments.values().all(|moments| moments.average.is_none()), "{request:?}");
    }
}
