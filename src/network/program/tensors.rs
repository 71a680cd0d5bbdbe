//! A node without a kernel: its op's passes over tensors, as a kernel.
//!
//! Values are laid channels first on the way in and channels last on the way out. Slow, and the same meaning.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{Device, Tensor};

use super::super::graph::{Network, Node};
use super::super::op::{BackwardInput, Forward, ForwardInput, Mode, Op};
use super::super::parameter::{ParameterKind, ParameterSpec};
use super::super::shape::Shape;
use crate::compute::kernels::{Arrival, BackwardPass, Crew, ForwardPass, Kernel, Needs, channels_first, channels_last};

/// An op and the shapes it runs on.
#[derive(Debug)]
pub(super) struct TensorLayer {
    op: Arc<dyn Op>,
    inputs: Vec<Shape>,
    output: Shape,
    parameters: Vec<ParameterSpec>,
    /// What the forward pass saved for the backward pass of the same batch.
    saved: Mutex<Vec<Tensor>>,
}

impl TensorLayer {
    /// The layer of a network's own node.
    pub fn new(network: &Network, node: &Node) -> Self {
        let specs = network.node_parameters(&node.id);
        Self {
            op: Arc::clone(&node.op),
            inputs: network.input_shapes(node),
            output: network.shape(&node.id).expect("a network knows the shapes of its nodes").clone(),
            parameters: specs.to_vec(),
            saved: Mutex::new(Vec::new()),
        }
    }

    fn parameters(&self, values: &[&[f32]]) -> candle_core::Result<Vec<Tensor>> {
        let tensor =
            |(values, spec): (&&[f32], &ParameterSpec)| Tensor::from_slice(values, spec.dims.as_slice(), &Device::Cpu);
        values.iter().zip(&self.parameters).map(tensor).collect()
    }
}

fn tensor(values: &[f32], shape: &Shape, rows: usize) -> candle_core::Result<Tensor> {
    let mut first = vec![0.0; values.len()];
    channels_first(values, shape.place(), &mut first, &Crew::alone());
    Tensor::from_vec(first, shape.batched(rows), &Device::Cpu)
}

fn numbers(tensor: &Tensor, shape: &Shape, to: &mut [f32]) -> candle_core::Result<()> {
    channels_last(&tensor.flatten_all()?.to_vec1::<f32>()?, shape.place(), to, &Crew::alone());
    Ok(())
}

/// What cannot fail but for a fault of this crate: shapes were checked when the network was built.
const FITS: &str = "an op computes what it declares for the shapes it was built for";

impl Kernel for TensorLayer {
    fn needs(&self) -> Needs {
        Needs { inputs: true, output: true }
    }

    fn forward(&self, pass: ForwardPass<'_>) {
        let run = || -> candle_core::Result<Forward> {
            let inputs = pass.inputs.iter().zip(&self.inputs);
            let inputs = inputs.map(|(values, shape)| tensor(values, shape, pass.rows));
            let inputs = inputs.collect::<candle_core::Result<Vec<_>>>()?;
            let parameters = self.parameters(pass.parameters)?;
            let (mode, node) = match pass.training {
                Some(draw) => (Mode::Train { seed: draw.seed, step: draw.step }, draw.node),
                None => (Mode::Evaluate, ""),
            };
            let (inputs, parameters): (Vec<_>, Vec<_>) = (inputs.iter().collect(), parameters.iter().collect());
            let input = ForwardInput { inputs: &inputs, parameters: &parameters, mode, node };
            self.op.forward(input).map_err(candle_core::Error::wrap)
        };
        let forward = run().expect(FITS);
        numbers(&forward.output, &self.output, pass.output).expect(FITS);
        if pass.training.is_some() {
            for (at, spec) in
                self.parameters.iter().enumerate().filter(|(_, spec)| spec.kind == ParameterKind::Statistic)
            {
                match forward.statistics.iter().find(|(name, _)| *name == spec.name) {
                    Some((_, value)) => super::layout::copy(value, pass.statistics[at]).expect(FITS),
                    None => pass.statistics[at].copy_from_slice(pass.parameters[at]),
                }
            }
            *self.saved.lock().unwrap_or_else(PoisonError::into_inner) = forward.saved;
        }
    }

    fn backward(&self, pass: BackwardPass<'_>) {
        let saved = std::mem::take(&mut *self.saved.lock().unwrap_or_else(PoisonError::into_inner));
        let run = || {
            let inputs = pass.inputs.iter().zip(&self.inputs);
            let inputs = inputs.map(|(values, shape)| tensor(values, shape, pass.rows));
            let inputs = inputs.collect::<candle_core::Result<Vec<_>>>()?;
            let parameters = self.parameters(pass.parameters)?;
            let (inputs, parameters): (Vec<_>, Vec<_>) = (inputs.iter().collect(), parameters.iter().collect());
            let needed: Vec<bool> =
                pass.input_gradients.iter().map(|arrival| !matches!(arrival, Arrival::Unwanted)).collect();
            let input = BackwardInput {
                inputs: &inputs,
                parameters: &parameters,
                output: &tensor(pass.output, &self.output, pass.rows)?,
                saved: &saved,
                gradient: &tensor(pass.gradient, &self.output, pass.rows)?,
                needed: &needed,
            };
            self.op.backward(input).map_err(candle_core::Error::wrap)
        };
        let backward = run().expect(FITS);
        let parameters = backward.parameters.iter().zip(pass.parameter_gradients.iter_mut()).zip(&self.parameters);
        for ((gradient, to), _) in parameters.filter(|(_, spec)| spec.kind == ParameterKind::Trained) {
            super::layout::copy(gradient.as_ref().expect(FITS), to).expect(FITS);
        }
        for ((gradient, arrival), shape) in backward.inputs.iter().zip(pass.input_gradients).zip(&self.inputs) {
            let gradient = || gradient.as_ref().expect(FITS);
            match arrival {
                Arrival::Unwanted | Arrival::InPlace => {}
                Arrival::First(to) => numbers(gradient(), shape, to).expect(FITS),
                Arrival::Further(to) => {
                    let mut further = vec![0.0; to.len()];
                    numbers(gradient(), shape, &mut further).expect(FITS);
                    to.iter_mut().zip(further).for_each(|(sum, number)| *sum += number);
                }
            }
        }
    }
}
