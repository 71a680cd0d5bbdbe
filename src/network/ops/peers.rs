//! The forward passes beside those of candle-nn and candle-core: two implementations that share no code with ours.

use candle_core::{DType, Device, Tensor};
use candle_nn::{BatchNormConfig, Conv2dConfig, Module, ModuleT, VarBuilder};

use super::avg_pool::AvgPool;
use super::batch_norm::BatchNorm;
use super::conv2d::Conv2d;
use super::depthwise_conv2d::DepthwiseConv2d;
use super::embedding::Embedding;
use super::group_norm::GroupNorm;
use super::grouped_conv2d::GroupedConv2d;
use super::layer_norm::LayerNorm;
use super::leaky_relu::LeakyRelu;
use super::linear::Linear;
use super::max_pool::MaxPool;
use super::maxout::Maxout;
use super::prelu::Prelu;
use super::rms_norm::RmsNorm;
use super::sigmoid::Sigmoid;
use super::silu::Silu;
use super::tests::{Layout, forward, numbers, tensor};
use crate::compute::random::{Purpose, Random};
use crate::network::op::{Mode, Op};

fn random(dims: &[usize], name: &str) -> Tensor {
    let mut random = Random::keyed(5, Purpose::Probe, 0, name);
    let values: Vec<f64> = (0..dims.iter().product()).map(|_| random.normal()).collect();
    tensor(&values, dims, Layout::Contiguous)
}

#[track_caller]
fn assert_same(ours: &impl Op, inputs: &Tensor, parameters: &[&Tensor], theirs: &Tensor) {
    let output = forward(ours, &[inputs], parameters, Mode::Evaluate).output;
    assert_eq!(output.dims(), theirs.dims());
    let largest = numbers(theirs).into_iter().fold(1.0, |most: f64, value| most.max(value.abs()));
    for (ours, theirs) in numbers(&output).into_iter().zip(numbers(theirs)) {
        assert!((ours - theirs).abs() <= 1e-5 * largest, "{ours} and {theirs}");
    }
}

#[test]
fn a_linear_layer_answers_as_candle_nns_does() {
    let (weight, bias, rows) = (random(&[7, 13], "weight"), random(&[7], "bias"), random(&[5, 13], "rows"));
    let theirs = candle_nn::Linear::new(weight.clone(), Some(bias.clone())).forward(&rows).unwrap();
    assert_same(&Linear { out: 7 }, &rows, &[&weight, &bias], &theirs);
}

#[test]
fn a_convolution_answers_as_candle_nns_does() {
    for (stride, padding, dilation) in [(1, 0, 1), (1, 1, 1), (2, 1, 1), (1, 2, 2)] {
        let (weight, bias) = (random(&[4, 3, 3, 3], "weight"), random(&[4], "bias"));
        let images = random(&[2, 3, 9, 11], "images");
        let config = Conv2dConfig { stride, padding, dilation, ..Conv2dConfig::default() };
        let theirs = candle_nn::Conv2d::new(weight.clone(), Some(bias.clone()), config).forward(&images).unwrap();
        let both = |side| [side, side];
        let (stride, padding, dilation) = (both(stride), both(padding), both(dilation));
        let ours = Conv2d { out: 4, kernel: [3, 3], stride, padding, dilation };
        assert_same(&ours, &images, &[&weight, &bias], &theirs);
    }
}

#[test]
fn grouped_and_depthwise_convolutions_answer_as_candle_nns_do() {
    for (stride, padding, dilation) in [(1, 1, 1), (2, 0, 1), (1, 2, 2)] {
        let (bias, images) = (random(&[6], "bias"), random(&[2, 3, 9, 11], "images"));
        let config = Conv2dConfig { stride, padding, dilation, groups: 3, ..Conv2dConfig::default() };
        let weight = random(&[6, 1, 3, 3], "weight");
        let theirs = candle_nn::Conv2d::new(weight.clone(), Some(bias.clone()), config).forward(&images).unwrap();
        let both = |side| [side, side];
        let (kernel, stride, padding, dilation) = (both(3), both(stride), both(padding), both(dilation));
        let depthwise = DepthwiseConv2d { multiplier: 2, kernel, stride, padding, dilation };
        assert_same(&depthwise, &images, &[&weight.squeeze(1).unwrap(), &bias], &theirs);

        let (weight, images) = (random(&[6, 2, 3, 3], "weight"), random(&[2, 6, 9, 11], "images"));
        let theirs = candle_nn::Conv2d::new(weight.clone(), Some(bias.clone()), config).forward(&images).unwrap();
        let grouped = GroupedConv2d { out: 6, groups: 3, kernel, stride, padding, dilation };
        assert_same(&grouped, &images, &[&weight, &bias], &theirs);
    }
}

#[test]
fn a_maxout_answers_as_the_maximum_of_candle_nns_linear_layers() {
    let (weight, bias, rows) = (random(&[7, 3, 13], "weight"), random(&[7, 3], "bias"), random(&[5, 13], "rows"));
    let piece = |index: usize| {
        let weight = weight.narrow(1, index, 1).unwrap().squeeze(1).unwrap();
        let bias = bias.narrow(1, index, 1).unwrap().squeeze(1).unwrap();
        candle_nn::Linear::new(weight, Some(bias)).forward(&rows).unwrap()
    };
    let theirs = piece(0).maximum(&piece(1)).unwrap().maximum(&piece(2)).unwrap();
    assert_same(&Maxout { out: 7, pieces: 3 }, &rows, &[&weight, &bias], &theirs);
}

#[test]
fn an_embedding_of_one_hot_rows_answers_as_candle_nns_does() {
    let table = random(&[5, 3], "table");
    let categories = Tensor::new(&[4u32, 0, 2, 2], &Device::Cpu).unwrap();
    let theirs = candle_nn::Embedding::new(table.clone(), 3).forward(&categories).unwrap();
    let rows = Tensor::eye(5, DType::F32, &Device::Cpu).unwrap().index_select(&categories, 0).unwrap();
    assert_same(&Embedding { out: 3 }, &rows, &[&table], &theirs);
}

#[test]
fn a_batch_norm_answers_as_candle_nns_does() {
    let (scale, shift) = (random(&[3], "scale"), random(&[3], "shift"));
    let (mean, variance) = (random(&[3], "mean"), random(&[3], "variance").sqr().unwrap());
    let images = random(&[2, 3, 5, 4], "images");
    let tensors = [("weight", &scale), ("bias", &shift), ("running_mean", &mean), ("running_var", &variance)];
    let tensors = tensors.into_iter().map(|(name, tensor)| (name.to_owned(), tensor.clone())).collect();
    let source = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
    let theirs = candle_nn::batch_norm(3, BatchNormConfig { eps: 1e-5, ..BatchNormConfig::default() }, source).unwrap();
    let theirs = theirs.forward_t(&images, false).unwrap();
    assert_same(&BatchNorm::default(), &images, &[&scale, &shift, &mean, &variance], &theirs);
}

#[test]
fn pools_answer_as_candles_do() {
    let images = random(&[2, 3, 7, 9], "images");
    for (kernel, stride) in [(2, 2), (3, 2), (3, 1)] {
        let theirs = images.max_pool2d_with_stride(kernel, stride).unwrap();
        assert_same(&MaxPool::unpadded([kernel; 2], [stride; 2]), &images, &[], &theirs);
        let theirs = images.avg_pool2d_with_stride(kernel, stride).unwrap();
        assert_same(&AvgPool::unpadded([kernel; 2], [stride; 2]), &images, &[], &theirs);
    }
}

#[test]
fn padded_pools_answer_as_candles_do_over_what_lies_inside() {
    let (images, padding) = (random(&[2, 3, 7, 9], "images"), [1, 1]);
    let padded = |tensor: &Tensor| tensor.pad_with_zeros(2, 1, 1).unwrap().pad_with_zeros(3, 1, 1).unwrap();
    for stride in [1, 2] {
        // Above 0 a padding of zeros never wins.
        let above = images.exp().unwrap();
        let theirs = padded(&above).max_pool2d_with_stride(3, stride).unwrap();
        assert_same(&MaxPool { kernel: [3; 2], stride: [stride; 2], padding }, &above, &[], &theirs);
        // The mean of the ones is the share of a window that lies inside.
        let mean = |tensor: &Tensor| padded(tensor).avg_pool2d_with_stride(3, stride).unwrap();
        let theirs = (mean(&images) / mean(&images.ones_like().unwrap())).unwrap();
        assert_same(&AvgPool { kernel: [3; 2], stride: [stride; 2], padding }, &images, &[], &theirs);
    }
}

#[test]
fn activations_answer_as_candle_nns_do() {
    let (images, slope) = (random(&[2, 3, 7, 9], "images"), random(&[3], "slope"));
    let theirs = candle_nn::PReLU::new(slope.clone(), false).forward(&images).unwrap();
    assert_same(&Prelu, &images, &[&slope], &theirs);
    let theirs = candle_nn::ops::leaky_relu(&images, 0.125).unwrap();
    assert_same(&LeakyRelu { slope: 0.125 }, &images, &[], &theirs);
    assert_same(&Sigmoid, &images, &[], &candle_nn::ops::sigmoid(&images).unwrap());
    assert_same(&Silu, &images, &[], &(&images * candle_nn::ops::sigmoid(&images).unwrap()).unwrap());
}

#[test]
fn norms_across_channels_answer_as_candle_nns_do() {
    let (scale, shift, images) = (random(&[6], "scale"), random(&[6], "shift"), random(&[2, 6, 5, 4], "images"));
    // candle-nn has the channels last in these two.
    let (last, epsilon) = (images.permute((0, 2, 3, 1)).unwrap().contiguous().unwrap(), 1e-3);
    let first = |output: Tensor| output.permute((0, 3, 1, 2)).unwrap();
    let theirs = candle_nn::LayerNorm::new(scale.clone(), shift.clone(), epsilon).forward(&last).unwrap();
    assert_same(&LayerNorm { epsilon }, &images, &[&scale, &shift], &first(theirs));
    let theirs = candle_nn::RmsNorm::new(scale.clone(), epsilon).forward(&last).unwrap();
    assert_same(&RmsNorm { epsilon }, &images, &[&scale], &first(theirs));
    for groups in [1, 2, 3, 6] {
        let theirs = candle_nn::GroupNorm::new(scale.clone(), shift.clone(), 6, groups, epsilon).unwrap();
        let theirs = theirs.forward(&images).unwrap();
        assert_same(&GroupNorm { groups, epsilon }, &images, &[&scale, &shift], &theirs);
    }
}
