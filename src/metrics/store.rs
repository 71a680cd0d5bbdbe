//! The database.

use prometheus::{IntGaugeVec, Registry};

use super::register::gauges;

#[derive(Clone)]
pub struct StoreMetrics {
    /// Connections of the pool, by state: used, idle.
    pub connections: IntGaugeVec,
}

impl StoreMetrics {
    pub(super) fn new(registry: &Registry) -> Self {
        let connections = gauges(
            registry,
            "db_pool_connections",
            "Connections of the database pool, by state: used, idle.",
            &["state"],
        );
        for state in ["used", "idle"] {
            connections.with_label_values(&[state]).set(0);
        }
        Self { connections }
    }
}
