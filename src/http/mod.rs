//! placeholder
use crate::{
    config::Config,
    metrics::Metrics,
    serving::Predictor,
    stream::writer::Writer,
    training::{Store, Supervisor},
};
use std::sync::Arc;
#[derive(Clone)]
pub struct AppState {
    pub store: Arc<dyn Store>,
    pub supervisor: Supervisor,
    pub predictor: Predictor,
    pub writer: Writer,
    pub metrics: Metrics,
    pub config: Arc<Config>,
}
pub async fn serve(
    _l: tokio::net::TcpListener,
    _s: AppState,
    _stop: impl Future<Output = ()> + Send + 'static,
    _d: std::time::Duration,
) -> std::io::Result<()> {
    unimplemented!()
}
