//! The input path: batches are assembled while the step before them is computed.
//!
//! Two buffers take turns: one is learned from while another thread of the pool fills the other. The batches and their
//! order are the same with any number of threads; with one, assembly and steps alternate. Called on the training pool.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::encoded::EncodedRows;
use crate::registry::Model;
use crate::stream::StoredExample;

/// The memory of the batch that is learned from and of the next.
#[derive(Debug, Default)]
pub struct Assembly {
    ready: EncodedRows,
    next: EncodedRows,
}

impl Assembly {
    /// Encodes the batches and hands each of them to `learn`, in order, until one breaks or fails. While `learn` is at
    /// work on one, the next is encoded beside it, so that one more than was learned from may have been.
    ///
    /// # Errors
    /// Those of `learn`.
    pub fn each<E: Send>(
        &mut self,
        model: &Model,
        batches: &[Vec<Arc<StoredExample>>],
        mut learn: impl FnMut(&EncodedRows) -> Result<ControlFlow<()>, E> + Send,
    ) -> Result<(), E> {
        let fill = |rows: &mut EncodedRows, batch: &[Arc<StoredExample>]| {
            rows.fill(model, batch.iter().map(|example| &**example));
        };
        let Some(first) = batches.first() else { return Ok(()) };
        fill(&mut self.ready, first);
        for index in 0..batches.len() {
            let Self { ready, next } = self;
            let encode_next = || batches.get(index + 1).map(|batch| fill(next, batch));
            let (flow, _) = rayon::join(|| learn(ready), encode_next);
            if flow?.is_break() {
                return Ok(());
            }
            std::mem::swap(&mut self.ready, &mut self.next);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::pool::Pool;
    use crate::network::builders::NetworkSpec;
    use crate::stream::{Encoder, Label, Schema, Seq, Targets, Task, Value};

    fn model() -> Model {
        let schema = serde_json::json!({"features": [{"name": "x", "kind": "vector", "size": 3}]});
        let schema: Schema = serde_json::from_value(schema).unwrap();
        let task: Task = serde_json::from_value(serde_json::json!({"kind": "regression"})).unwrap();
        let (encoder, targets) = (Encoder::new(&schema), Targets::new(&task));
        let network = NetworkSpec::Mlp { hidden: vec![], dropout: 0.0 };
        let network = network.build(&encoder.shape(), targets.outputs()).unwrap();
        Model { network, encoder, targets }
    }

    /// Batches of 0 to 4 rows.
    fn batches() -> Vec<Vec<Arc<StoredExample>>> {
        let example = |seq: u64| {
            let row = vec![Value::Vector(vec![seq as f32, 0.5, -1.0])];
            Arc::new(StoredExample { seq: Seq(seq), id: None, row, label: Label::Number(seq as f64) })
        };
        (0..30).map(|batch| (0..batch % 5).map(|row| example(10 * batch + row)).collect()).collect()
    }

    #[test]
    fn every_batch_comes_whole_and_in_order_with_any_number_of_threads() {
        let (model, batches) = (model(), batches());
        let expected: Vec<EncodedRows> =
            batches.iter().map(|batch| EncodedRows::encode(&model, batch.iter().map(|example| &**example))).collect();
        for threads in [1, 2, 4] {
            let mut assembly = Assembly::default();
            let mut seen = Vec::new();
            let pool = Pool::start("training", threads, 0).unwrap();
            for part in batches.chunks(7) {
                let learn = |rows: &EncodedRows| {
                    seen.push(rows.clone());
                    Ok::<_, ()>(ControlFlow::Continue(()))
                };
                pool.run(|| assembly.each(&model, part, learn)).unwrap().unwrap();
            }
            assert_eq!(seen, expected, "{threads} threads");
        }
    }

    #[test]
    fn nothing_is_learned_after_a_break_or_a_failure() {
        let (model, batches) = (model(), batches());
        for (end, outcome) in [(Ok(ControlFlow::Break(())), Ok(())), (Err("broken"), Err("broken"))] {
            let mut seen = 0;
            let learned = Assembly::default().each(&model, &batches, |_| {
                seen += 1;
                if seen == 3 { end } else { Ok(ControlFlow::Continue(())) }
            });
            assert_eq!((learned, seen), (outcome, 3));
        }
    }
}
