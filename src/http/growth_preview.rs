//! What a growth would do to a learner as it stands: nothing is stored and nothing changes.

use super::growth_view::Preview;
use super::problem::Problem;
use super::standing;
use super::state::AppState;
use super::unbroken::unbroken;
use crate::growth::{GrowthRequest, Refusal, plan};
use crate::network::{Network, NodeId};
use crate::policy::{PolicySettings, Signals, decide_now};
use crate::registry::Model;
use crate::training::adoption::{asked_categories, asked_classes, asked_features};
use crate::training::status::LearnerMetrics;
use crate::training::{GrowthOrder, LearnerDocument, LearnerRecord};

/// The probability that a new class may take at most, as trainers grow it.
const EPSILON: f64 = 1e-3;

/// The plan of this order, or its refusal as a problem.
pub async fn preview(state: &AppState, record: &LearnerRecord, order: GrowthOrder) -> Result<Preview, Problem> {
    let checkpoint = state.store.checkpoint(record.id).await?.ok_or_else(Problem::learner_not_found)?;
    let status = standing::of(state, record).await?.status;
    let (metrics, network) = (status.metrics.clone(), status.network.clone());
    let document = record.document.clone();
    let (model, examples) = (checkpoint.model, checkpoint.trained_seq.0);
    unbroken(tokio::task::spawn_blocking(move || {
        let request = match order {
            GrowthOrder::Auto => automatic(&document.policy, &network, &metrics, examples)?,
            order => request(order, &document, &model)?,
        };
        let plan = plan(&network, &request, document.training.seed)?;
        let limit = document.policy.max_parameters();
        if plan.parameters_after > limit {
            return Err(Refusal::Budget { parameters: plan.parameters_after, limit }.into());
        }
        Ok(Preview::of(&network, &plan))
    }))
    .await
}

/// The network of the learner's trainer.
pub async fn network(state: &AppState, record: &LearnerRecord) -> Result<Network, Problem> {
    Ok((*standing::of(state, record).await?.status.network).clone())
}

/// The nodes that a growth can name: those that produce channels, other than the output.
pub fn growable_nodes(network: &Network) -> Vec<NodeId> {
    let output = &network.output().id;
    let producers = network.nodes().iter().filter(|node| node.op.produces_channels() && node.id != *output);
    producers.map(|node| node.id.clone()).collect()
}

/// What the policy would do next.
fn automatic(
    settings: &PolicySettings,
    network: &Network,
    metrics: &LearnerMetrics,
    examples: u64,
) -> Result<GrowthRequest, Refusal> {
    let signals = Signals {
        examples,
        rows_since_growth: examples,
        examples_at_growth: 0,
        training_loss: metrics.training_loss,
        training_loss_before: None,
        progressive_loss: metrics.progressive_loss,
        progressive_loss_before: None,
        holdout_loss: metrics.holdout_loss,
        holdout_loss_before: None,
        parameters: network.parameter_count(),
        flops: network.flops_per_row(),
        settled: false,
        gate_refusals: 0,
    };
    let decision = decide_now(settings, &signals, network);
    decision.grow.ok_or_else(|| {
        let against: Vec<String> =
            decision.reasons.into_iter().filter(|reason| !reason.holds).map(|reason| reason.detail).collect();
        Refusal::Request { reason: format!("the policy finds nothing to grow: {}", against.join("; ")) }
    })
}

/// The order in the terms of a network.
fn request(order: GrowthOrder, document: &LearnerDocument, model: &Model) -> Result<GrowthRequest, Refusal> {
    match order {
        GrowthOrder::Wider(wider) => Ok(GrowthRequest::Wider(wider)),
        GrowthOrder::Deeper(deeper) => Ok(GrowthRequest::Deeper(deeper)),
        GrowthOrder::Inputs { feature, categories } => {
            let add = asked_categories(&model.encoder, &feature, &categories)?.values.len();
            Ok(GrowthRequest::Inputs { add })
        }
        GrowthOrder::Features { features } => {
            let features = asked_features(&model.encoder, &features)?;
            Ok(GrowthRequest::Inputs { add: features.iter().map(|feature| feature.kind.columns()).sum() })
        }
        GrowthOrder::Classes { classes } => {
            let add = asked_classes(&document.task, &model.targets, &classes)?.len();
            // Shapes do not depend on the measured log-sum-exp.
            Ok(GrowthRequest::Classes { add, epsilon: EPSILON, log_sum_exp: 0.0 })
        }
        GrowthOrder::Auto => Err(Refusal::Request { reason: "`auto` is decided by the policy".into() }),
    }
}
