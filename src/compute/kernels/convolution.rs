//! Convolution, grouped or not, of any kernel, stride, padding and dilation: direct, without columns (im2col).
//!
//! A plane is copied once into a border of zeros, and every output position is a row of a product: the numbers that it
//! sees, tap by tap, times panels of the weight. The gradient by the input is a convolution of the gradient; that by the
//! weight sums outer products over positions, in at most [`MOST_PARTIALS`] partials over the rows of the batch.
//! Parameters: weight `[out, in / groups, kernel height, kernel width]`, bias `[out]`.

use std::sync::Arc;

use super::crew::{Crew, Shared};
use super::kernel::{Arrival, BackwardPass, ForwardPass, Kernel, Needs, Place};
use super::panel::{Matrix, packed};
use super::rectifier::Rectifier;
use super::scratch;
use super::sites::{add, column_sums};
use super::strip::{Padded, Sliding, Strip};
use super::tile::{Block, Finish, Pairs, Panel, VECTORS, outer, product};
use super::winograd::{Filters, Winograd};
use crate::compute::vectors::{Extent, Simd, SimdLoop, transpose};

/// The most partial sums of a weight's gradient: so many threads can share a backward pass.
const MOST_PARTIALS: usize = 8;

/// The most numbers that the partials of one gradient hold together, if one alone does not hold more: 8 MiB.
const PARTIAL_NUMBERS: usize = 1 << 21;

/// Outputs below this number share a task with those of other rows.
const POSITIONS_OF_A_TASK: usize = 64;

/// A convolution over planes of one size.
#[derive(Debug, Clone)]
pub struct Convolution {
    input: Place,
    output: Place,
    groups: usize,
    sliding: Sliding,
    slope: Option<f32>,
    forward: (Padded, Strip),
    backward: (Padded, Vec<Strip>),
    /// For predictions.
    winograd: Option<Winograd>,
}

impl Convolution {
    /// The convolution from `input` to `output`, which fit each other and the groups.
    pub fn new(input: Place, output: Place, groups: usize, sliding: Sliding) -> Self {
        let (forward, backward) = (sliding.forward(input, output, groups), sliding.backward(input, output, groups));
        let winograd = Winograd::of(&sliding, input, output, groups);
        Self { input, output, groups, sliding, slope: None, forward, backward, winograd }
    }

    /// Channels of a group on each side.
    fn of_group(&self) -> (usize, usize) {
        (self.input.channels / self.groups, self.output.channels / self.groups)
    }

    fn taps(&self) -> usize {
        self.sliding.kernel[0] * self.sliding.kernel[1]
    }

    fn operations(&self, rows: usize) -> usize {
        2 * rows * self.output.numbers() * self.of_group().0 * self.taps()
    }

    /// The weight `[out, in, taps]` with its last axes turned, `[out, taps, in]`: panels are packed from that along memory.
    fn with_turned<R>(&self, weight: &[f32], work: impl FnOnce(&[f32]) -> R) -> R {
        let ((inputs, _), taps) = (self.of_group(), self.taps());
        if inputs == 1 || taps == 1 {
            return work(weight);
        }
        scratch::with(weight.len(), |turned| {
            let extent = Extent { rows: inputs, columns: taps, pitch: taps, turned_pitch: inputs };
            let filters = weight.chunks_exact(inputs * taps).zip(turned.chunks_exact_mut(inputs * taps));
            filters.for_each(|(filter, turned)| transpose(filter, turned, extent));
            work(turned)
        })
    }

    /// The weight of the forward pass as panels, group behind group.
    fn pack_forward(&self, weight: &[f32], crew: &Crew, to: &mut [f32]) {
        let ((inputs, outputs), taps) = (self.of_group(), self.taps());
        let size = packed(inputs * taps, outputs, crew.vectors.lanes());
        let runs: Vec<usize> = self.forward.1.kernel.iter().map(|tap| tap * inputs).collect();
        self.with_turned(weight, |weight| {
            let groups = weight.chunks_exact(outputs * inputs * taps).zip(to.chunks_exact_mut(size));
            for (weights, to) in groups {
                let matrix = Matrix { weights, runs: &runs, depth_step: 1, depths: inputs, column_step: inputs * taps };
                matrix.pack_all(outputs, crew.vectors.lanes(), to);
            }
        });
    }

    /// The weight of the gradient by the input, strip behind strip and group behind group.
    fn pack_backward(&self, weight: &[f32], crew: &Crew, to: &mut [f32]) {
        let ((inputs, outputs), taps) = (self.of_group(), self.taps());
        self.with_turned(weight, |weight| {
            let mut at = 0;
            for strip in &self.backward.1 {
                let size = packed(outputs * strip.kernel.len(), inputs, crew.vectors.lanes());
                let runs: Vec<usize> = strip.kernel.iter().map(|tap| tap * inputs).collect();
                for weights in weight.chunks_exact(outputs * inputs * taps) {
                    let matrix =
                        Matrix { weights, runs: &runs, depth_step: inputs * taps, depths: outputs, column_step: 1 };
                    matrix.pack_all(inputs, crew.vectors.lanes(), &mut to[at..at + size]);
                    at += size;
                }
            }
        });
    }

    fn packed_forward(&self, lanes: usize) -> usize {
        let (inputs, outputs) = self.of_group();
        self.groups * packed(inputs * self.taps(), outputs, lanes)
    }

    fn packed_backward(&self, lanes: usize) -> usize {
        let (inputs, outputs) = self.of_group();
        self.backward.1.iter().map(|strip| self.groups * packed(outputs * strip.kernel.len(), inputs, lanes)).sum()
    }

    /// How many partials the gradient by the weight is summed in.
    fn partials(&self, rows: usize) -> usize {
        let (inputs, _) = self.of_group();
        let size = self.output.channels * inputs * self.taps();
        (PARTIAL_NUMBERS / size).clamp(1, MOST_PARTIALS).min(rows)
    }
}

impl Kernel for Convolution {
    fn needs(&self) -> Needs {
        Needs { inputs: true, output: self.slope.is_some() }
    }

    fn rectified(&self, slope: f32) -> Option<Arc<dyn Kernel>> {
        self.slope.is_none().then(|| Arc::new(Self { slope: Some(slope), ..self.clone() }) as _)
    }

    fn prepared(&self, lanes: usize) -> usize {
        self.winograd.as_ref().map_or_else(|| self.packed_forward(lanes), |winograd| winograd.prepared(lanes))
    }

    fn prepare(&self, parameters: &[&[f32]], crew: &Crew, to: &mut [f32]) {
        match &self.winograd {
            Some(winograd) => winograd.prepare(parameters[0], crew.vectors.lanes(), to),
            None => self.pack_forward(parameters[0], crew, to),
        }
    }

    fn forward(&self, pass: ForwardPass<'_>) {
        let packed = pass.prepared;
        match &self.winograd {
            _ if packed.is_empty() => scratch::with(self.packed_forward(pass.crew.vectors.lanes()), |panels| {
                self.pack_forward(pass.parameters[0], pass.crew, panels);
                self.outputs(pass, panels);
            }),
            Some(winograd) => {
                let filters = Filters { packed, bias: pass.parameters[1], slope: self.slope.unwrap_or(1.0) };
                winograd.outputs(pass.inputs[0], &filters, pass.output, pass.crew);
            }
            None => self.outputs(pass, packed),
        }
    }

    fn backward(&self, pass: BackwardPass<'_>) {
        let BackwardPass {
            rows, inputs, parameters, output, gradient, input_gradients, parameter_gradients, crew, ..
        } = pass;
        let (finish, target) = match &mut input_gradients[0] {
            Arrival::Unwanted | Arrival::InPlace => (Finish::Store, None),
            Arrival::First(values) => (Finish::Store, Some(Shared::new(values))),
            Arrival::Further(values) => (Finish::Add, Some(Shared::new(values))),
        };
        let lanes = crew.vectors.lanes();
        let panel_numbers = if target.is_some() { self.packed_backward(lanes) } else { 0 };
        let partials = self.partials(rows);
        let (of_group, taps) = (self.of_group(), self.taps());
        let weight = self.output.channels * of_group.0 * taps;
        // Behind the weight's sums stand the bias's.
        let partial = weight + self.output.channels;
        let (from, to) = (self.input.numbers(), self.output.numbers());
        let gradient = Shared::new(gradient);
        scratch::with(panel_numbers, |panels| {
            if target.is_some() {
                self.pack_backward(parameters[0], crew, panels);
            }
            let panels = &*panels;
            scratch::with(partials * partial, |sums| {
                let shared = Shared::new(sums);
                let per_partial = rows.div_ceil(partials);
                crew.each(partials, 2 * self.operations(rows), |index| {
                    // SAFETY: every partial has sums of its own.
                    let sums = unsafe { shared.part(index * partial..(index + 1) * partial) };
                    sums.fill(0.0);
                    for row in index * per_partial..((index + 1) * per_partial).min(rows) {
                        // SAFETY: every row belongs to one partial.
                        let gradient = unsafe { gradient.part(row * to..(row + 1) * to) };
                        if let Some(slope) = self.slope {
                            Rectifier { slope }.turn_back(gradient, &output[row * to..(row + 1) * to]);
                        }
                        let (weights, biases) = sums.split_at_mut(weight);
                        column_sums(gradient, self.output.channels, biases);
                        with_padded(&self.forward.0, 1, &inputs[0][row * from..(row + 1) * from], |plane| {
                            crew.vectors.run(WeightSums { convolution: self, plane, gradient, sums: weights });
                        });
                        let Some(target) = target else { continue };
                        with_padded(&self.backward.0, 1, gradient, |planes| {
                            let mut at = 0;
                            for strip in &self.backward.1 {
                                let size = self.groups * packed(of_group.1 * strip.kernel.len(), of_group.0, lanes);
                                crew.vectors.run(Strips {
                                    convolution: self,
                                    panels: &panels[at..at + size],
                                    channels: (of_group.1, of_group.0),
                                    strip,
                                    plane: &self.backward.0,
                                    planes,
                                    range: 0..strip.from.len(),
                                    output: target.alias(row * from..(row + 1) * from),
                                    output_place: self.input,
                                    bias: &[],
                                    finish,
                                });
                                at += size;
                            }
                        });
                    }
                });
                self.collect(sums, partial, parameter_gradients, crew);
            });
        });
    }
}

impl Convolution {
    /// The forward pass over a packed weight.
    fn outputs(&self, pass: ForwardPass<'_>, panels: &[f32]) {
        let (input, bias) = (pass.inputs[0], pass.parameters[1]);
        let finish = self.slope.map_or(Finish::Store, Finish::Rectify);
        let (padded, strip) = &self.forward;
        let (from, to) = (self.input.numbers(), self.output.numbers());
        let output = Shared::new(pass.output);
        // A batch of few rows is cut within its planes, one of many small planes between rows.
        let positions = self.output.positions();
        let cuts =
            if pass.rows < 2 * pass.crew.threads { (2 * pass.crew.threads).min(positions.div_ceil(8)) } else { 1 };
        let rows_of_a_task = (POSITIONS_OF_A_TASK / positions).clamp(1, pass.rows);
        let tasks = pass.rows.div_ceil(rows_of_a_task) * cuts;
        pass.crew.each(tasks, self.operations(pass.rows), |task| {
            let (first, cut) = (task / cuts * rows_of_a_task, task % cuts);
            let rows = rows_of_a_task.min(pass.rows - first);
            let piece = (positions * rows).div_ceil(cuts).next_multiple_of(8);
            let range = (cut * piece).min(positions * rows)..((cut + 1) * piece).min(positions * rows);
            let output = output.alias(first * to..(first + rows) * to);
            let input = &input[first * from..(first + rows) * from];
            with_padded(padded, rows, input, |planes| {
                pass.crew.vectors.run(Strips {
                    convolution: self,
                    panels,
                    channels: self.of_group(),
                    strip,
                    plane: padded,
                    planes,
                    range: range.clone(),
                    output,
                    output_place: self.output,
                    bias,
                    finish,
                });
            });
        });
    }

    /// Adds the partials, `[group, taps, in, out]` and the bias's behind them, and lays them as the parameters lie.
    fn collect(&self, sums: &mut [f32], partial: usize, gradients: &mut [&mut [f32]], crew: &Crew) {
        let [weight, bias, ..] = gradients else { unreachable!("a convolution has a weight and a bias") };
        let ((inputs, outputs), taps) = (self.of_group(), self.taps());
        let count = sums.len();
        let (total, others) = sums.split_at_mut(partial);
        let shared = Shared::new(total);
        crew.pieces(partial, 1 << 12, 4 * count, |range| {
            // SAFETY: pieces do not overlap.
            let total = unsafe { shared.part(range.clone()) };
            others.chunks_exact(partial).for_each(|other| add(&other[range.clone()], total));
        });
        bias.copy_from_slice(&total[weight.len()..]);
        let lines = taps * inputs;
        let turned = Extent { rows: lines, columns: outputs, pitch: outputs, turned_pitch: lines };
        let filters = Extent { rows: taps, columns: inputs, pitch: inputs, turned_pitch: taps };
        scratch::with(lines * outputs, |room| {
            let groups = total.chunks_exact(lines * outputs).zip(weight.chunks_exact_mut(lines * outputs));
            for (total, weight) in groups {
                transpose(total, room, turned);
                for (filter, weight) in room.chunks_exact(lines).zip(weight.chunks_exact_mut(lines)) {
                    transpose(filter, weight, filters);
                }
            }
        });
    }
}

/// Runs `work` with rows of planes in their zeros: where they lie, if there are none.
fn with_padded<R>(padded: &Padded, rows: usize, planes: &[f32], work: impl FnOnce(&[f32]) -> R) -> R {
    if padded.is_bare() {
        return work(planes);
    }
    let (inner, outer) = (padded.inner.numbers(), padded.numbers());
    scratch::with(rows * outer, |room| {
        for (plane, room) in planes.chunks_exact(inner).zip(room.chunks_exact_mut(outer)) {
            padded.fill(plane, room);
        }
        work(room)
    })
}

/// A range of the positions of some rows through a strip, group by group and panel by panel.
struct Strips<'a> {
    convolution: &'a Convolution,
    panels: &'a [f32],
    /// Channels of a group that are read and that are written.
    channels: (usize, usize),
    strip: &'a Strip,
    plane: &'a Padded,
    planes: &'a [f32],
    range: std::ops::Range<usize>,
    output: *mut [f32],
    output_place: Place,
    bias: &'a [f32],
    finish: Finish,
}

impl SimdLoop for Strips<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self) {
        let (read, written) = self.channels;
        let depth = read * self.strip.kernel.len();
        let size = packed(depth, written, S::LANES);
        let (positions, outer) = (self.strip.from.len(), self.plane.numbers());
        let pitch = self.output_place.channels;
        for group in 0..self.convolution.groups {
            let mut column = 0;
            while column < written {
                let columns = (written - column).min(VECTORS * S::LANES);
                let first = group * written + column;
                let panel = Panel {
                    weights: &self.panels[group * size + column * depth..(group + 1) * size],
                    columns,
                    taps: &self.strip.taps,
                    run: read * self.strip.positions,
                    bias: if self.bias.is_empty() { &[] } else { &self.bias[first..first + columns] },
                    finish: self.finish,
                };
                let input = self.planes.as_ptr();
                let output = self.output.cast::<f32>();
                let start = self.range.start;
                // SAFETY: inside `Vectors::run`; the strip's rows and taps lie within the padded planes, the positions
                // written within the output, of which nobody else writes this range.
                unsafe {
                    product::<S>(
                        panel,
                        self.range.len(),
                        |at| {
                            let at = start + at;
                            input.add(at / positions * outer + self.strip.from[at % positions] + group * read)
                        },
                        |at| {
                            let at = start + at;
                            let position =
                                at / positions * self.output_place.positions() + self.strip.to[at % positions];
                            output.add(position * pitch + first)
                        },
                    );
                }
                column += columns;
            }
        }
    }
}

/// The outer products of one row's positions, added to sums `[group][tap][in][out]`.
struct WeightSums<'a> {
    convolution: &'a Convolution,
    plane: &'a [f32],
    gradient: &'a [f32],
    sums: &'a mut [f32],
}

impl SimdLoop for WeightSums<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self) {
        let convolution = self.convolution;
        let (inputs, outputs) = convolution.of_group();
        let (padded, strip) = &convolution.forward;
        let (place, stride) = (convolution.output, convolution.sliding.stride);
        let line = padded.size[1] * convolution.input.channels;
        let pairs = Pairs {
            count: place.width,
            left_step: stride[1] * convolution.input.channels,
            right_step: place.channels,
            lines: place.height,
            left_line: stride[0] * line,
            right_line: place.width * place.channels,
        };
        let run = inputs * strip.positions;
        for group in 0..convolution.groups {
            for (tap, &offset) in strip.taps.iter().enumerate() {
                let target = self.sums[(group * strip.taps.len() + tap) * run * outputs..].as_mut_ptr();
                let block = Block { target, pitch: outputs, rows: run, columns: outputs, finish: Finish::Add };
                // SAFETY: inside `Vectors::run`; the taps of all positions lie within the padded plane, the block within
                // the sums.
                unsafe {
                    let left = self.plane.as_ptr().add(offset + group * inputs);
                    outer::<S>(pairs, left, self.gradient.as_ptr().add(group * outputs), block);
                }
            }
        }
    }
}
