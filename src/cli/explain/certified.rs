//! The certificate of a plan on new weights and random rows: what a growth promises, measured before there is a learner.

use std::fmt::Write;

use candle_core::Device;

use super::subject::Subject;
use crate::growth::{Certificate, Plan, Probe, apply_weights, certify, measure};
use crate::network::initialize::initialize;

/// The plan with whatever is left to data measured on random rows, and the certificate of applying it to new weights.
///
/// # Errors
/// A plan of another network, a failure of the tensor library.
pub fn certify_on_random_rows(plan: Plan, subject: &Subject) -> anyhow::Result<(Plan, Certificate)> {
    let network = &subject.network;
    let weights = initialize(network, subject.seed, &Device::Cpu)?;
    let probe = Probe { rows: Vec::new(), seed: subject.seed };
    let plan = measure(plan, network, &weights, &probe)?;
    let grown = apply_weights(&plan, network, &weights)?;
    let certificate = certify(&plan, (network, &weights), (plan.student(), &grown), &probe)?;
    Ok((plan, certificate))
}

/// The certificate in words.
pub fn text(certificate: &Certificate) -> String {
    let mut text = format!(
        "certificate on {} random rows and new weights: {}\n",
        certificate.random_rows,
        if certificate.preserved { "preserved" } else { "not preserved" }
    );
    let mut line = |path: &str, difference: Option<f64>, limit: Option<f64>| {
        let difference = difference.map_or_else(|| "not measured: dropout draws other masks".into(), scientific);
        let limit = limit.map_or_else(|| "no limit".into(), |limit| format!("limit {}", scientific(limit)));
        writeln!(text, "  {path:<14}{difference} ({limit})").expect("a String takes every text");
    };
    line("in f64", Some(certificate.max_rel_diff), Some(certificate.limit));
    line("as served", Some(certificate.served_max_rel_diff), Some(certificate.served_limit));
    line("in training", certificate.train_max_rel_diff, certificate.train_limit);
    text
}

/// A largest relative difference: 0, or one digit behind the point.
fn scientific(number: f64) -> String {
    if number == 0.0 { "0".into() } else { format!("{number:.1e}") }
}
