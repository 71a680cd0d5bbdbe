//! The batchers, each on a compute thread of its own: take a batch, answer all of it from one snapshot.
//!
//! Every request gets exactly one answer, whatever happens while it is computed: a panic is an error for the requests
//! of its batch and leaves the thread as it was.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use super::model::LoadedModel;
use super::predictor::{Answer, PredictError, Prediction};
use super::queue::{Queue, Request};
use crate::compute::pool::{Occupied, Pool, PoolError};
use crate::metrics::ServingMetrics;
use crate::stream::Row;

/// What a batching thread works with.
#[derive(Clone)]
pub struct Batcher {
    /// Where requests wait.
    pub queue: Arc<Queue>,
    /// Most rows in one evaluation.
    pub batch_rows: usize,
    /// Where it counts.
    pub metrics: ServingMetrics,
}

impl Batcher {
    /// Starts a thread that answers until the queue is closed and empty.
    ///
    /// It is a pool of one: a batch is encoded and computed where it was taken, without a change of threads, and what an
    /// op would spread over threads stays on this one.
    pub fn spawn(self, number: usize, nice: u8) -> Result<Occupied, PoolError> {
        let pool = Pool::start(&format!("serving-{number}"), 1, nice)?;
        Ok(pool.occupy(move || {
            while let Some(batch) = self.queue.take(self.batch_rows) {
                self.answer(batch);
            }
        }))
    }

    fn answer(&self, batch: Vec<Request>) {
        let now = Instant::now();
        let mut waiting = Vec::with_capacity(batch.len());
        for request in batch {
            if request.deadline <= now {
                reply(request, Err(PredictError::Deadline));
            } else if !request.answer.is_closed() {
                self.metrics.queue_wait_seconds.observe(now.duration_since(request.queued).as_secs_f64());
                waiting.push(request);
            }
        }
        let Some(first) = waiting.first() else { return };
        let Some(model) = first.version.clone().or_else(|| first.slot.live()) else {
            return waiting.into_iter().for_each(|request| reply(request, Err(PredictError::NotLoaded)));
        };
        let rows: Vec<&Row> = waiting.iter().flat_map(|request| &request.rows).collect();
        match self.evaluate(&model, &rows) {
            Ok(mut predictions) => {
                for request in waiting {
                    let rest = predictions.split_off(request.rows.len());
                    let own = std::mem::replace(&mut predictions, rest);
                    finish(request, &model, Ok(own));
                }
            }
            Err(error) if waiting.len() == 1 => {
                waiting.into_iter().for_each(|request| finish(request, &model, Err(error.clone())));
            }
            // One request must not fail for another's rows: each is tried by itself.
            Err(_) => waiting.into_iter().for_each(|request| {
                let outcome = self.evaluate(&model, &request.rows.iter().collect::<Vec<_>>());
                finish(request, &model, outcome);
            }),
        }
    }

    /// The predictions for these rows, `batch_rows` at a time.
    fn evaluate(&self, model: &LoadedModel, rows: &[&Row]) -> Result<Vec<Prediction>, PredictError> {
        let mut predictions = Vec::with_capacity(rows.len());
        for part in rows.chunks(self.batch_rows) {
            self.metrics.batch_rows.observe(part.len() as f64);
            match catch_unwind(AssertUnwindSafe(|| model.answer(part.iter().copied()))) {
                Ok(Ok(answers)) => predictions.extend(answers),
                Ok(Err(error)) => {
                    tracing::error!(version = model.version.0, %error, "a prediction failed");
                    return Err(PredictError::Failed(model.version));
                }
                Err(_) => {
                    tracing::error!(version = model.version.0, "a prediction panicked");
                    return Err(PredictError::Failed(model.version));
                }
            }
        }
        Ok(predictions)
    }
}

fn finish(request: Request, model: &LoadedModel, outcome: Result<Vec<Prediction>, PredictError>) {
    if outcome.is_ok() {
        request.slot.rows.inc_by(request.rows.len() as u64);
    }
    let answer =
        outcome.map(|predictions| Answer { version: model.version, classes: model.classes.clone(), predictions });
    reply(request, answer);
}

fn reply(request: Request, answer: Result<Answer, PredictError>) {
    // Whoever asked may have gone; then nobody needs the answer.
    drop(request.answer.send(answer));
}
