//! From what is asked of a learner to a growth of its network: names become columns and outputs.
//!
//! A translation changes nothing: it gives the request for the network and the model's encoder and targets as they will be.

use std::sync::Arc;

use super::adoption::{asked_categories, asked_classes, asked_features};
use super::error::TrainingError;
use super::growth_order::GrowthOrder;
use super::publish::NEW_CLASS_PROBABILITY;
use super::trainer::Trainer;
use crate::growth::{GrowthOp, GrowthRequest, Refusal};
use crate::network::execute;
use crate::policy::{self, Decision};
use crate::registry::Model;
use crate::stream::encoder::NewCategories;
use crate::stream::{Feature, Row, StoredExample, Targets};

/// What new names bring.
pub(super) enum Adopted {
    /// Categories that get columns.
    Categories(NewCategories),
    /// Features that get columns.
    Features(Vec<Feature>),
    /// Classes that get outputs.
    Classes(Vec<String>),
}

/// A growth in the network's terms.
pub(super) struct Translated {
    pub op: GrowthOp,
    /// What the network must do; `None` if the names fit as it is.
    pub request: Option<GrowthRequest>,
    /// The teacher's network with the student's encoder and targets.
    pub model: Model,
}

impl Trainer {
    /// What an order means for this learner, or why it means nothing.
    pub fn translate(&mut self, order: &GrowthOrder) -> Result<Result<Translated, Refusal>, TrainingError> {
        let adopted = match order {
            GrowthOrder::Wider(wider) => return Ok(Ok(self.reshaped(GrowthRequest::Wider(wider.clone())))),
            GrowthOrder::Deeper(deeper) => return Ok(Ok(self.reshaped(GrowthRequest::Deeper(deeper.clone())))),
            GrowthOrder::Auto => return Ok(self.automatic()),
            GrowthOrder::Inputs { feature, categories } => {
                asked_categories(&self.model.encoder, feature, categories).map(Adopted::Categories)
            }
            GrowthOrder::Features { features } => asked_features(&self.model.encoder, features).map(Adopted::Features),
            GrowthOrder::Classes { classes } => {
                asked_classes(&self.task, &self.model.targets, classes).map(Adopted::Classes)
            }
        };
        match adopted {
            Ok(adopted) => {
                let translated = self.adoption(adopted)?;
                if translated.request.is_none() {
                    return Ok(refused("the network has room for these already: they come with their first example"));
                }
                Ok(Ok(translated))
            }
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    /// The new classes and categories among the rows of a round.
    pub fn news(&self, examples: &[Arc<StoredExample>]) -> Vec<Adopted> {
        let mut news = Vec::new();
        let classes = self.model.targets.new_classes(examples.iter().map(|example| &example.label));
        if !classes.is_empty() {
            news.push(Adopted::Classes(classes));
        }
        let categories = self.model.encoder.new_categories(examples.iter().map(|example| -> &Row { &example.row }));
        if !categories.values.is_empty() {
            news.push(Adopted::Categories(categories));
        }
        news
    }

    /// The growth that gives new names their place.
    pub fn adoption(&mut self, adopted: Adopted) -> Result<Translated, TrainingError> {
        let mut model = self.model.clone();
        match adopted {
            Adopted::Categories(categories) => {
                model.encoder.adopt(&categories);
                Ok(self.with_inputs(model))
            }
            Adopted::Features(features) => {
                model.encoder.add(&features);
                Ok(self.with_inputs(model))
            }
            Adopted::Classes(classes) => {
                if let Targets::Classes { classes: known } = &mut model.targets {
                    known.extend(classes);
                }
                let add = model.targets.outputs() - self.model.network.output_shape().elements();
                let request = if add == 0 {
                    None
                } else {
                    let log_sum_exp = self.smallest_log_sum_exp()?;
                    Some(GrowthRequest::Classes { add, epsilon: NEW_CLASS_PROBABILITY, log_sum_exp })
                };
                Ok(Translated { op: GrowthOp::Classes, request, model })
            }
        }
    }

    /// As many more inputs as the model's encoder has columns.
    fn with_inputs(&self, model: Model) -> Translated {
        let add = model.encoder.shape().elements() - self.model.network.input().elements();
        Translated { op: GrowthOp::Inputs, request: (add > 0).then_some(GrowthRequest::Inputs { add }), model }
    }

    fn reshaped(&self, request: GrowthRequest) -> Translated {
        let op = match request {
            GrowthRequest::Wider(_) => GrowthOp::Wider,
            GrowthRequest::Deeper(_) => GrowthOp::Deeper,
            GrowthRequest::Inputs { .. } => GrowthOp::Inputs,
            GrowthRequest::Classes { .. } => GrowthOp::Classes,
        };
        Translated { op, request: Some(request), model: self.model.clone() }
    }

    /// What the policy would do, were it time.
    fn automatic(&self) -> Result<Translated, Refusal> {
        let signals = self.progress.signals(&self.model.network);
        let Decision { grow, reasons } = policy::decide_now(&self.progress.policy, &signals, &self.model.network);
        grow.map(|request| self.reshaped(request)).ok_or_else(|| {
            let against = reasons.iter().filter(|reason| !reason.holds).map(|reason| reason.detail.as_str());
            let details: Vec<&str> = against.collect();
            Refusal::Request { reason: format!("the policy has nothing to grow: {}", details.join("; ")) }
        })
    }

    /// The smallest log-sum-exp of the logits over the probe rows; over a row of zeros while there are no others.
    fn smallest_log_sum_exp(&mut self) -> Result<f64, TrainingError> {
        let mut rows = self.probe_rows()?;
        let input = self.model.network.input().clone();
        if rows.is_empty() {
            rows.push(vec![0.0; input.elements()]);
        }
        let environment = self.environment.clone();
        let (model, parameters) = (&self.model, self.learned.published()?);
        let logits = environment.compute(|| {
            let values: Vec<f32> = rows.concat();
            let batch = candle_core::Tensor::from_vec(values, input.batched(rows.len()), &environment.device)?;
            let output = execute::evaluate(&model.network, &parameters, &batch)?;
            Ok::<_, TrainingError>(output.flatten_from(1)?.to_vec2::<f32>()?)
        })?;
        Ok(logits.iter().map(|row| log_sum_exp(row)).fold(f64::INFINITY, f64::min))
    }
}

fn log_sum_exp(logits: &[f32]) -> f64 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&logit| f64::from(logit - largest).exp()).sum();
    f64::from(largest) + sum.ln()
}

fn refused(reason: &str) -> Result<Translated, Refusal> {
    Err(Refusal::Request { reason: reason.to_owned() })
}
