//! A learner as the surface shows it.

use std::sync::Arc;

use serde::Serialize;
use time::OffsetDateTime;

use super::alias_view::AliasView;
use super::problem::Problem;
use super::standing::{self, Standing};
use super::state::AppState;
use super::versions_show::every_alias;
use crate::compute::memory::Memory;
use crate::network::{Network, NodeId};
use crate::policy::PolicySettings;
use crate::registry::{Alias, AliasName, VersionId};
use crate::stream::{LearnerName, Schema, Seq, Task};
use crate::training::status::LearnerMetrics;
use crate::training::{LearnerRecord, TrainingSettings, TrainingState};

/// A learner in a list.
#[derive(Serialize)]
pub struct LearnerSummary {
    name: LearnerName,
    task: Task,
    head_seq: Seq,
    trained_seq: Seq,
    live: Option<Live>,
    training: TrainingSummary,
    network: NetworkSummary,
    metrics: LearnerMetrics,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
}

/// A learner by itself.
#[derive(Serialize)]
pub struct LearnerView {
    name: LearnerName,
    task: Task,
    schema: Schema,
    head_seq: Seq,
    trained_seq: Seq,
    live: Option<Live>,
    aliases: Vec<AliasView>,
    training: TrainingView,
    network: NetworkView,
    policy: PolicySettings,
    metrics: LearnerMetrics,
    revision: u64,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
}

#[derive(Serialize)]
struct Live {
    version: VersionId,
    /// Whether it stays there until it is unpinned.
    pinned: bool,
    /// What the trainer accepted since it was pinned.
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting: Option<VersionId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trained_seq: Option<Seq>,
}

#[derive(Serialize)]
struct TrainingSummary {
    state: TrainingState,
    steps: u64,
    /// The process that holds the learner's lease.
    holder: Option<String>,
}

#[derive(Serialize)]
struct TrainingView {
    #[serde(flatten)]
    summary: TrainingSummary,
    settings: TrainingSettings,
    memory: MemoryView,
}

/// Bytes that one step of a learner's training holds.
#[derive(Serialize)]
struct MemoryView {
    weights_bytes: u64,
    optimizer_bytes: u64,
    activations_bytes: u64,
    gradients_bytes: u64,
    scratch_bytes: u64,
    peak_bytes: u64,
    /// The peak as a multiple of weights, optimizer state and activations.
    ratio: f64,
}

/// The size of a network.
#[derive(Serialize)]
pub struct NetworkSummary {
    parameters: u64,
    layers: usize,
    summary: String,
}

#[derive(Serialize)]
struct NetworkView {
    #[serde(flatten)]
    summary: NetworkSummary,
    nodes: Vec<NodeView>,
}

#[derive(Serialize)]
struct NodeView {
    id: NodeId,
    op: &'static str,
    inputs: Vec<NodeId>,
    channels: usize,
}

impl From<Memory> for MemoryView {
    fn from(memory: Memory) -> Self {
        Self {
            weights_bytes: memory.weights,
            optimizer_bytes: memory.optimizer,
            activations_bytes: memory.activations,
            gradients_bytes: memory.gradients,
            scratch_bytes: memory.scratch,
            peak_bytes: memory.peak(),
            ratio: memory.ratio(),
        }
    }
}

impl NetworkSummary {
    /// Of this network.
    pub fn of(network: &Network) -> Self {
        Self { parameters: network.parameter_count(), layers: network.layer_count(), summary: network.summary() }
    }
}

impl Live {
    fn of(alias: &Alias, trained_seq: Option<Seq>) -> Self {
        Self { version: alias.version, pinned: alias.pinned, waiting: alias.waiting, trained_seq }
    }
}

impl LearnerSummary {
    /// Of this learner, as far as it can be told without its versions.
    pub async fn of(state: &AppState, record: LearnerRecord) -> Result<Self, Problem> {
        let now = Now::of(state, &record).await?;
        let live = state.store.alias_state(record.id, &AliasName::live()).await?;
        Ok(Self {
            name: record.document.name,
            task: record.document.task,
            head_seq: record.head,
            trained_seq: now.trained_seq,
            live: live.as_ref().map(|alias| Live::of(alias, None)),
            training: now.training,
            network: NetworkSummary::of(&now.network),
            metrics: now.metrics,
            created_at: record.created_at,
        })
    }
}

impl LearnerView {
    /// Of this learner.
    pub async fn of(state: &AppState, record: LearnerRecord) -> Result<Self, Problem> {
        let now = Now::of(state, &record).await?;
        let aliases = every_alias(state, record.id).await?;
        let live = match aliases.iter().find(|alias| alias.name.is_live()) {
            Some(alias) => {
                let row = state.store.version(record.id, alias.version).await?;
                Some(Live::of(alias, row.map(|row| row.trained_seq)))
            }
            None => None,
        };
        let document = record.document;
        Ok(Self {
            name: document.name,
            task: document.task,
            schema: document.schema,
            head_seq: record.head,
            trained_seq: now.trained_seq,
            live,
            aliases: aliases.into_iter().map(AliasView::from).collect(),
            training: TrainingView { summary: now.training, settings: document.training, memory: now.memory.into() },
            network: NetworkView { nodes: nodes(&now.network), summary: NetworkSummary::of(&now.network) },
            policy: document.policy,
            metrics: now.metrics,
            revision: record.revision,
            created_at: record.created_at,
        })
    }
}

/// Where a learner's trainer stands.
struct Now {
    trained_seq: Seq,
    training: TrainingSummary,
    network: Arc<Network>,
    memory: Memory,
    metrics: LearnerMetrics,
}

impl Now {
    async fn of(state: &AppState, record: &LearnerRecord) -> Result<Self, Problem> {
        let Standing { status, holder } = standing::of(state, record).await?;
        Ok(Self {
            trained_seq: status.trained_seq,
            training: TrainingSummary { state: status.state, steps: status.steps, holder },
            network: status.network.clone(),
            memory: status.memory,
            metrics: status.metrics.clone(),
        })
    }
}

fn nodes(network: &Network) -> Vec<NodeView> {
    let view = |node: &crate::network::Node| NodeView {
        id: node.id.clone(),
        op: node.op.kind(),
        inputs: node.inputs.clone(),
        channels: network.shape(&node.id).map_or(0, crate::network::Shape::channels),
    };
    network.nodes().iter().map(view).collect()
}
