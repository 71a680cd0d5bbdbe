//! A version as the surface shows it.

use serde::Serialize;
use time::OffsetDateTime;

use super::learner_view::NetworkSummary;
use crate::network::Network;
use crate::registry::{BlobDigest, Cause, Version, VersionId, VersionMetrics};
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
    network: N,
    metrics: VersionMetrics,
    digest: BlobDigest,
    weights_kept: bool,
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
    pub fn brief(version: Version, live: Option<VersionId>) -> Self {
        let network = NetworkSummary::of(&version.model.network);
        Self::with(version, live, network)
    }
}

impl VersionView<NetworkGraph> {
    /// By itself.
    pub fn full(version: Version, live: Option<VersionId>) -> Self {
        let graph = version.model.network.clone();
        let network = NetworkGraph { size: NetworkSummary::of(&graph), graph };
        Self::with(version, live, network)
    }
}

impl<N> VersionView<N> {
    fn with(version: Version, live: Option<VersionId>, network: N) -> Self {
        Self {
            version: version.version,
            parent: version.parent,
            cause: version.cause,
            trained_seq: version.trained_seq,
            created_at: version.created_at,
            live: live == Some(version.version),
            network,
            metrics: version.metrics,
            digest: version.digest,
            weights_kept: version.weights_kept,
        }
    }
}
