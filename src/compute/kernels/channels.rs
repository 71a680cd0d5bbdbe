//! Ranges of channels: their joining and their taking apart.

use super::crew::{Crew, Shared};
use super::kernel::{BackwardPass, ForwardPass, Kernel, Needs};
use super::put::{PIECE, Put};
use crate::compute::vectors::{Simd, SimdLoop};

/// The channels of all inputs one after the other.
#[derive(Debug, Clone)]
pub struct Concat {
    /// How many channels each input has.
    pub channels: Vec<usize>,
}

/// The channels `start..start + channels` of `of`.
#[derive(Debug, Clone)]
pub struct Split {
    /// The first channel that is taken.
    pub start: usize,
    /// How many are taken.
    pub channels: usize,
    /// How many the input has.
    pub of: usize,
}

/// A run of channels at every site: so many from `start` on, of so many.
#[derive(Debug, Clone, Copy)]
struct Run {
    start: usize,
    of: usize,
}

impl Concat {
    fn runs(&self) -> impl Iterator<Item = (Run, usize)> {
        let of = self.channels.iter().sum();
        self.channels.iter().scan(0, move |start, &channels| {
            let run = Run { start: *start, of };
            *start += channels;
            Some((run, channels))
        })
    }
}

impl Kernel for Concat {
    fn needs(&self) -> Needs {
        Needs { inputs: false, output: false }
    }

    fn forward(&self, pass: ForwardPass<'_>) {
        let all: usize = self.channels.iter().sum();
        let (sites, inputs) = (pass.output.len() / all, pass.inputs);
        let output = Shared::new(pass.output);
        in_sites(pass.crew, sites, all, |sites| {
            // SAFETY: pieces do not overlap.
            let to = unsafe { output.part(sites.start * all..sites.end * all) };
            for ((run, channels), from) in self.runs().zip(inputs) {
                let from = (&from[sites.start * channels..sites.end * channels], Run { start: 0, of: channels });
                pass.crew.vectors.run(Move { channels, from, put: Put::Over, to: (&mut *to, run) });
            }
        });
    }

    fn backward(&self, pass: BackwardPass<'_>) {
        let all: usize = self.channels.iter().sum();
        let gradient = &*pass.gradient;
        let places: Vec<Option<(Shared<'_>, Put)>> = pass.input_gradients.iter_mut().map(|to| to.place()).collect();
        in_sites(pass.crew, gradient.len() / all, all, |sites| {
            let gradient = &gradient[sites.start * all..sites.end * all];
            for ((run, channels), place) in self.runs().zip(&places) {
                let Some((to, put)) = *place else { continue };
                // SAFETY: pieces do not overlap.
                let to = unsafe { to.part(sites.start * channels..sites.end * channels) };
                pass.crew.vectors.run(Move {
                    channels,
                    from: (gradient, run),
                    put,
                    to: (to, Run { start: 0, of: channels }),
                });
            }
        });
    }
}

impl Kernel for Split {
    fn needs(&self) -> Needs {
        Needs { inputs: false, output: false }
    }

    fn forward(&self, pass: ForwardPass<'_>) {
        let (input, channels) = (pass.inputs[0], self.channels);
        let output = Shared::new(pass.output);
        in_sites(pass.crew, input.len() / self.of, channels, |sites| {
            // SAFETY: pieces do not overlap.
            let to = unsafe { output.part(sites.start * channels..sites.end * channels) };
            let from = (&input[sites.start * self.of..sites.end * self.of], Run { start: self.start, of: self.of });
            pass.crew.vectors.run(Move { channels, from, put: Put::Over, to: (to, Run { start: 0, of: channels }) });
        });
    }

    fn backward(&self, pass: BackwardPass<'_>) {
        let (gradient, channels) = (&*pass.gradient, self.channels);
        let Some((to, put)) = pass.input_gradients[0].place() else { return };
        in_sites(pass.crew, gradient.len() / channels, self.of, |sites| {
            // SAFETY: pieces do not overlap.
            let to = unsafe { to.part(sites.start * self.of..sites.end * self.of) };
            if put == Put::Over {
                to.fill(0.0);
            }
            let from = (&gradient[sites.start * channels..sites.end * channels], Run { start: 0, of: channels });
            pass.crew.vectors.run(Move { channels, from, put, to: (to, Run { start: self.start, of: self.of }) });
        });
    }
}

/// Runs `work` on pieces of whole sites of so many channels.
fn in_sites(crew: &Crew, sites: usize, channels: usize, work: impl Fn(std::ops::Range<usize>) + Sync + Send) {
    crew.pieces(sites, (PIECE / channels).max(1), 10 * sites * channels, work);
}

/// A run of channels from every site of one slice to every site of another.
struct Move<'a> {
    channels: usize,
    from: (&'a [f32], Run),
    put: Put,
    to: (&'a mut [f32], Run),
}

impl SimdLoop for Move<'_> {
    type Output = ();

    /// A run is a few vectors at most: its end is a part of one, or the loop would go number by number.
    #[inline(always)]
    fn run<S: Simd>(self) {
        let ((from, of), (to, into)) = (self.from, self.to);
        let sites = to.len() / into.of;
        assert!(
            of.start + self.channels <= of.of && into.start + self.channels <= into.of && from.len() >= sites * of.of
        );
        let whole = self.channels / S::LANES * S::LANES;
        let rest = self.channels - whole;
        for site in 0..sites {
            // SAFETY: inside `Vectors::run`; the run lies within every site of both slices.
            unsafe {
                let from = from.as_ptr().add(site * of.of + of.start);
                let to = to.as_mut_ptr().add(site * into.of + into.start);
                for at in (0..whole).step_by(S::LANES) {
                    let numbers = S::load(from.add(at));
                    let sum = if self.put == Put::Over { numbers } else { S::add(numbers, S::load(to.add(at))) };
                    S::store(to.add(at), sum);
                }
                if rest > 0 {
                    let numbers = S::load_part(from.add(whole), rest);
                    let sum = match self.put {
                        Put::Over => numbers,
                        Put::Onto => S::add(numbers, S::load_part(to.add(whole), rest)),
                    };
                    S::store_part(to.add(whole), sum, rest);
                }
            }
        }
    }
}
