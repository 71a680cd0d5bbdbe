//! Growths as the surface shows them, and the command line prints them: plans without the weights' mappings and the
//! student's graph, which only the trainer needs.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;

use super::growth_document;
use crate::growth::{Certificate, ChannelSet, Drift, GrowthOp, Plan, Preserves, Refusal, TouchedNode};
use crate::network::Network;
use crate::policy::{Decision, Reason};
use crate::registry::VersionId;
use crate::stream::Seq;
use crate::training::{GrowthEvent, GrowthTicket, TicketState, Trigger};

/// What a growth does or would do.
#[derive(Debug, Serialize, Deserialize)]
pub struct PlanView {
    /// The kind.
    pub op: GrowthOp,
    /// The nodes whose output, parameters or work change, and the new ones.
    pub touched: Vec<TouchedNode>,
    /// The sets of channels that grow together.
    pub sets: Vec<ChannelSet>,
    /// Trained parameters before.
    pub parameters_before: u64,
    /// Trained parameters after.
    pub parameters_after: u64,
    /// Floating-point operations of one row before, forward.
    pub flops_before: u64,
    /// Floating-point operations of one row after, forward.
    pub flops_after: u64,
    /// Layers with weights before.
    pub layers_before: usize,
    /// Layers with weights after.
    pub layers_after: usize,
    /// The widths of the layers after, from input to output.
    pub network_after: String,
    /// What it promises.
    pub preserves: Preserves,
}

impl From<&Plan> for PlanView {
    fn from(plan: &Plan) -> Self {
        Self {
            op: plan.op,
            touched: plan.touched.clone(),
            sets: plan.sets(),
            parameters_before: plan.parameters_before,
            parameters_after: plan.parameters_after,
            flops_before: plan.flops_before,
            flops_after: plan.flops_after,
            layers_before: plan.layers_before,
            layers_after: plan.layers_after,
            network_after: plan.student().summary(),
            preserves: plan.preserves,
        }
    }
}

/// The answer to a dry run.
#[derive(Debug, Serialize, Deserialize)]
pub struct Preview {
    /// Always true: nothing was changed.
    pub dry_run: bool,
    /// The widths of the layers before, from input to output.
    pub network_before: String,
    /// What would be done.
    pub plan: PlanView,
}

impl Preview {
    /// What `plan` would do to `network`.
    pub fn of(network: &Network, plan: &Plan) -> Self {
        Self { dry_run: true, network_before: network.summary(), plan: plan.into() }
    }
}

/// A growth that was committed.
#[derive(Serialize)]
pub struct EventView {
    state: TicketState,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    at: Option<OffsetDateTime>,
    op: GrowthOp,
    trigger: Trigger,
    ticket: Option<u64>,
    seq: Seq,
    teacher: VersionId,
    version: VersionId,
    network_before: String,
    network_after: String,
    plan: PlanView,
    certificate: Certificate,
    drift: Option<Drift>,
    reasons: Vec<Reason>,
    seconds: f64,
}

impl EventView {
    /// Of this event.
    pub fn of(event: &GrowthEvent) -> Self {
        Self {
            state: TicketState::Applied,
            position: None,
            at: None,
            op: event.op,
            trigger: event.trigger,
            ticket: event.ticket,
            seq: event.seq,
            teacher: event.teacher,
            version: event.version,
            network_before: event.network_before.clone(),
            network_after: event.network_after.clone(),
            plan: (&event.plan).into(),
            certificate: event.certificate.clone(),
            drift: event.drift,
            reasons: event.reasons.clone(),
            seconds: event.seconds,
        }
    }

    /// With its place in the journal.
    pub fn in_journal(mut self, position: u64, at: OffsetDateTime) -> Self {
        (self.position, self.at) = (Some(position), Some(at));
        self
    }
}

/// What the policy decided.
#[derive(Serialize)]
pub struct DecisionView {
    /// Where it stands in the journal.
    pub position: u64,
    /// When it was committed.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// The newest trained example.
    pub seq: Seq,
    /// The decision with its reasons.
    pub decision: Decision,
}

/// A growth that was refused.
#[derive(Serialize)]
pub struct RefusalView {
    /// Where it stands in the journal.
    pub position: u64,
    /// When it was committed.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// The newest trained example.
    pub seq: Seq,
    /// The kind of growth, where there was one.
    pub op: Option<GrowthOp>,
    /// Who wanted it.
    pub trigger: Trigger,
    /// The operator's order behind it.
    pub ticket: Option<u64>,
    /// Why, in a sentence.
    pub detail: String,
    /// Why, as data.
    pub refusal: Refusal,
}

/// An operator's order.
#[derive(Serialize)]
pub struct TicketView {
    id: u64,
    state: TicketState,
    order: Value,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<EventView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<Refusal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

impl From<GrowthTicket> for TicketView {
    fn from(ticket: GrowthTicket) -> Self {
        let detail = ticket.refusal.as_ref().map(ToString::to_string).or(ticket.failure);
        Self {
            id: ticket.id,
            state: ticket.state,
            order: growth_document::render(&ticket.order),
            created_at: ticket.created_at,
            event: ticket.event.as_ref().map(EventView::of),
            refusal: ticket.refusal,
            detail,
        }
    }
}
