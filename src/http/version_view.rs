//! A version as the surface shows it.

use serde::Serialize;
use time::OffsetDateTime;

use super::alias_view::{AliasMark, marks};
use super::growth_view::EventView;
use super::learner_view::NetworkSummary;
use crate::network::Network;
use crate::registry::{Alias, BlobDigest, Cause, Version, VersionId, VersionMetrics};
use crate::stream::Seq;

/// A version; `N` is how its network is shown.
#[derive(Serialize)]
pub struct VersionView<N> {
    version: VersionId,
    parent: Option<VersionId>,
    cause: Cause,
    trained_seq: Seq,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    live: bool,
    aliases: Vec<AliasMark>,
    network: N,
    metrics: VersionMetrics,
    digest: BlobDigest,
    weights_kept: bool,
    /// The growth that made it, with its plan and certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    growth: Option<EventView>,
}

/// A network with its whole graph.
#[derive(Serialize)]
pub struct NetworkGraph {
    #[serde(flatten)]
    size: NetworkSummary,
    #[serde(flatten)]
    graph: Network,
}

impl VersionView<NetworkSummary> {
    /// In a list.
    pub fn brief(version: Version, aliases: &[Alias]) -> Self {
        let network = NetworkSummary::of(&version.model.network);
        Self::with(version, aliases, network)
    }
}

impl VersionView<NetworkGraph> {
    /// By itself.
    pub fn full(version: Version, aliases: &[Alias], growth: Option<EventView>) -> Self {
        let graph = version.model.network.clone();
        let network = NetworkGraph { size: NetworkSummary::of(&graph), graph };
        Self { growth, ..Self::with(version, aliases, network) }
    }
}

impl<N> VersionView<N> {
    fn with(version: Version, aliases: &[Alias], network: N) -> Self {
        let naming = |alias: &Alias| alias.name.is_live() && alias.version == version.version;
        Self {
            version: version.version,
            parent: version.parent,
            cause: version.cause,
            trained_seq: version.trained_seq,
            created_at: version.created_at,
            live: aliases.iter().any(naming),
            aliases: marks(aliases, version.version),
            network,
            metrics: version.metrics,
            digest: version.digest,
            weights_kept: version.weights_kept,
            growth: None,
        }
    }
}
