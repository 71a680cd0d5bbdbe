//! What is trained and asked: networks over random rows, as a learner of the service has them.

use std::sync::Arc;

use candle_core::Device;
use perennial::compute::optimizer::{Optimizer, Rate};
use perennial::compute::random::{Purpose, Random};
use perennial::network::Parameters;
use perennial::network::builders::NetworkSpec;
use perennial::network::initialize::initialize;
use perennial::network::program::TrainingProgram;
use perennial::registry::Model;
use perennial::stream::{Encoder, Label, Schema, Seq, StoredExample, Targets, Task, Value};
use perennial::training::engine::Engine;
use perennial::training::step::{StepRule, first_state};

/// How steps are done.
pub fn rule() -> StepRule {
    StepRule::plain(Optimizer::ADAM, Rate::constant(0.001), 1)
}

/// A model of ten classes, its weights, its training state, and rows to learn from.
pub struct Subject {
    pub model: Model,
    pub parameters: Parameters,
    pub engine: Engine,
    pub examples: Vec<Arc<StoredExample>>,
}

impl Subject {
    /// An MLP over rows of one vector of `inputs` numbers.
    pub fn new(inputs: usize, hidden: &[usize], rows: u64) -> Self {
        let schema = serde_json::json!({"features": [{"name": "x", "kind": "vector", "size": inputs}]});
        let schema: Schema = serde_json::from_value(schema).expect("a schema");
        let classes: Vec<String> = (0..10).map(|class| class.to_string()).collect();
        let task = serde_json::json!({"kind": "classification", "classes": classes});
        let task: Task = serde_json::from_value(task).expect("a task");
        let (mut encoder, targets) = (Encoder::new(&schema), Targets::new(&task));
        let network = NetworkSpec::Mlp { hidden: hidden.to_vec(), dropout: 0.0 };
        let network = network.build(&encoder.shape(), targets.outputs()).expect("a network");
        let parameters = initialize(&network, 1, &Device::Cpu).expect("parameters");
        let state = first_state(&network, parameters.clone(), &Optimizer::ADAM).expect("a state");
        let engine = Engine::load(TrainingProgram::compile(&network, 128), &state).expect("an engine");
        let example = |seq: u64| {
            let mut random = Random::keyed(3, Purpose::Demonstration, seq, "threads");
            let row = vec![Value::Vector((0..inputs).map(|_| random.normal() as f32).collect())];
            Arc::new(StoredExample { seq: Seq(seq), id: None, row, label: Label::Class((seq % 10).to_string()) })
        };
        let examples: Vec<Arc<StoredExample>> = (1..=rows).map(example).collect();
        encoder.observe(examples.iter().map(|example| &example.row));
        Self { model: Model { network, encoder, targets }, parameters, engine, examples }
    }

    /// The rows in batches of this size.
    pub fn batches(&self, rows: usize) -> Vec<Vec<Arc<StoredExample>>> {
        self.examples.chunks(rows).map(<[_]>::to_vec).collect()
    }
}
