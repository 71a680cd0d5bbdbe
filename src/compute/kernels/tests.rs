//! What a trial against the reference cannot show, because its numbers are distinct and near 0: ties, large offsets.

use std::sync::Arc;

use super::*;
use crate::compute::vectors::Vectors;

const DRAW: Draw<'static> = Draw { seed: 1, step: 1, node: "node" };

/// Output and gradient by the input of one row-major batch, for a gradient of ones at `outputs` outputs.
fn passes(kernel: &dyn Kernel, input: &[f32], parameters: &[&[f32]], outputs: usize) -> Vec<[Vec<f32>; 2]> {
    let of_vectors = |vectors: Vectors| {
        let crew = Crew { vectors, threads: 1 };
        let mut output = vec![f32::NAN; outputs];
        let mut saved = vec![f32::NAN; kernel.saved_per_row() + kernel.saved_per_batch()];
        let mut gradients: Vec<Vec<f32>> = parameters.iter().map(|values| vec![f32::NAN; values.len()]).collect();
        let mut by_input = vec![f32::NAN; input.len()];
        kernel.forward(ForwardPass {
            rows: 1,
            training: Some(DRAW),
            inputs: &[input],
            parameters,
            prepared: &[],
            output: &mut output,
            saved: &mut saved,
            statistics: &mut gradients.iter_mut().map(Vec::as_mut_slice).collect::<Vec<_>>(),
            crew: &crew,
        });
        kernel.backward(BackwardPass {
            rows: 1,
            inputs: &[input],
            parameters,
            output: &output,
            saved: &saved,
            gradient: &mut vec![1.0; outputs],
            input_gradients: &mut [Arrival::First(&mut by_input)],
            parameter_gradients: &mut gradients.iter_mut().map(Vec::as_mut_slice).collect::<Vec<_>>(),
            crew: &crew,
        });
        [output, by_input]
    };
    Vectors::available().into_iter().map(of_vectors).collect()
}

fn flat(channels: usize) -> Place {
    Place { height: 1, width: 1, channels }
}

#[test]
fn of_equal_numbers_in_a_window_the_first_takes_the_gradient() {
    let place = |height, width| Place { height, width, channels: 1 };
    let sliding = |padding| Sliding { kernel: [2, 2], stride: [2, 2], padding, dilation: [1, 1] };
    let pool = Pool::new(place(2, 2), place(1, 1), sliding([0, 0]), Pooled::Largest);
    for [output, gradient] in passes(&pool, &[1.0, 2.0, 2.0, 2.0], &[], 1) {
        assert_eq!((output, gradient), (vec![2.0], vec![0.0, 1.0, 0.0, 0.0]));
    }
    // Every window has one number inside: below 0 the padding beside it would win if it were seen.
    let padded = Pool::new(place(2, 2), place(2, 2), sliding([1, 1]), Pooled::Largest);
    for [output, gradient] in passes(&padded, &[-1.0, -2.0, -3.0, -4.0], &[], 4) {
        assert_eq!((output, gradient), (vec![-1.0, -2.0, -3.0, -4.0], vec![1.0; 4]));
    }
}

#[test]
fn of_equal_pieces_the_first_takes_the_gradient() {
    let (weight, bias) = ([1.0, 3.0, 3.0], [0.0; 3]);
    for [output, gradient] in passes(&Maxout::new(1, 1, 3), &[2.0], &[&weight, &bias], 1) {
        assert_eq!((output, gradient), (vec![6.0], vec![3.0]));
    }
}

#[test]
fn a_large_offset_costs_the_norms_no_precision() {
    let input: Vec<f32> = (0..192).map(|at| 10_000.0 + (at % 2) as f32).collect();
    let (twos, ones) = (vec![2.0; 192], vec![1.0; 192]);
    // One channel over many sites, and many channels at one.
    let batch = BatchNorm::new(1, 1e-5, 0.1);
    let across = |positions, channels, groups| {
        let measure = Measure::FromMean(1e-5);
        Arc::new(Across { channels, positions, groups, blocks: 1, measure }) as Arc<dyn Kernel>
    };
    let kernels = [(Arc::new(batch) as Arc<dyn Kernel>, 1), (across(1, 192, 1), 192), (across(48, 4, 2), 4)];
    for (kernel, channels) in &kernels {
        let (scale, shift) = (&twos[..*channels], &ones[..*channels]);
        let parameters: Vec<&[f32]> =
            if *channels == 1 { vec![scale, shift, shift, shift] } else { vec![scale, shift] };
        for [output, _] in passes(&**kernel, &input, &parameters, 192) {
            for (y, x) in output.iter().zip(&input) {
                assert!((y - (1.0 + 2.0 * (2.0 * (x - 10_000.0) - 1.0))).abs() < 1e-3, "{kernel:?}: {y} for {x}");
            }
        }
    }
}

#[test]
fn numbers_that_are_all_the_same_leave_the_shift_alone() {
    let (scale, shift) = ([2.0; 6], [1.0; 6]);
    for measure in [Measure::FromMean(1e-12), Measure::FromMean(1e-5)] {
        let kernel = Across { channels: 6, positions: 1, groups: 2, blocks: 1, measure };
        for [output, _] in passes(&kernel, &[7.3; 6], &[&scale, &shift], 6) {
            assert_eq!(output, [1.0; 6]);
        }
    }
}

#[test]
fn dropout_without_probability_and_in_evaluation_changes_nothing() {
    let dropout = |probability| Dropout { place: flat(3), probability };
    assert!(dropout(0.0).changes_nothing(true) && dropout(0.5).changes_nothing(false));
    assert!(!dropout(0.5).changes_nothing(true));
    for [output, gradient] in passes(&dropout(0.0), &[1.0, 2.0, f32::INFINITY], &[], 3) {
        assert_eq!((output, gradient), (vec![1.0, 2.0, f32::INFINITY], vec![1.0; 3]));
    }
}
