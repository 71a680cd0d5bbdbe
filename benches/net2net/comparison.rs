//! One comparison: teachers are trained, grown in every way, and every student goes on beside a network that did not grow
//! and one of the grown size that begins anew.
//!
//! Within a seed everything is paired: one teacher, one order of rows.

use perennial::compute::optimizer::Rate;
use perennial::growth::{Drift, Probe, apply, drift, measure, plan};
use perennial::network::Network;

use super::course::{Course, Curve, OPTIMIZER, Trained, logits};
use super::data::Images;
use super::ways::{RateRule, Way};

/// Real rows for drift and the statistics of new norms.
const PROBE_ROWS: usize = 256;
/// What is added to a seed for weights that begin anew, so that they are not the teacher's.
const ANEW: u64 = 1_000;
/// How the lines of what begins anew are called.
const SCRATCH: &str = "from scratch";

/// How long, how fast and how often.
pub struct Setting {
    pub teacher_steps: u64,
    /// Steps of a student; a multiple of 100, so that it is one of the steps that are measured.
    pub steps: u64,
    pub learning_rate: f64,
    pub seeds: u64,
}

/// One line of the table: a way and a rule, over all seeds.
pub struct Line {
    pub way: String,
    pub rate: &'static str,
    pub runs: Vec<Run>,
}

impl Line {
    /// Whether a teacher had to be trained first.
    pub fn has_teacher(&self) -> bool {
        !self.way.starts_with(SCRATCH)
    }
}

/// What came of a way and a rule with one seed.
pub struct Run {
    pub curve: Curve,
    /// At the growth itself; `None` for what is not grown.
    pub growth: Option<Growth>,
    /// What it is held against.
    pub against: Against,
    /// Floating-point operations of one step.
    pub flops: f64,
}

/// The growth itself.
#[derive(Clone, Copy)]
pub struct Growth {
    /// The largest difference of a logit over the test rows, divided by the teacher's largest (at least 1).
    pub difference: f64,
    /// How copies part at first; `None` where nothing was copied.
    pub drift: Option<Drift>,
}

/// The networks beside the students of one seed.
#[derive(Clone, Copy)]
pub struct Against {
    /// The teacher's test accuracy.
    pub teacher: f64,
    /// What the teacher cost, in floating-point operations.
    pub teacher_flops: f64,
    /// The accuracy of the teacher's own size after the students' steps, at the full rate.
    pub narrow: f64,
    /// The accuracy of the grown size that began anew, after as many steps as a student.
    pub scratch: f64,
    /// What that cost.
    pub scratch_flops: f64,
}

/// A teacher, and how it goes on without growth under every rule.
struct Seeded {
    seed: u64,
    teacher: Trained,
    accuracy: f64,
    flops: f64,
    narrow: Vec<(RateRule, Curve)>,
}

/// Runs every set of ways from the same teachers; the lines of each set.
pub fn run(network: &Network, sets: &[Vec<Way>], images: &Images, setting: &Setting) -> anyhow::Result<Vec<Vec<Line>>> {
    let mut tables: Vec<Vec<Line>> = sets.iter().map(|_| Vec::new()).collect();
    for seed in 1..=setting.seeds {
        let seeded = teacher(network, images, setting, seed)?;
        for (ways, lines) in sets.iter().zip(&mut tables) {
            one_set(&seeded, ways, images, setting, lines)?;
        }
        eprintln!("seed {seed} of {} done", setting.seeds);
    }
    Ok(tables)
}

fn teacher(network: &Network, images: &Images, setting: &Setting, seed: u64) -> anyhow::Result<Seeded> {
    let mut teacher = Trained::new(network.clone(), seed)?;
    let rate = Rate::constant(setting.learning_rate);
    let course = Course { images, seed, order: "teacher", rate, steps: setting.teacher_steps };
    let accuracy = end(&course.run(&mut teacher)?);
    let flops = teacher.flops(setting.teacher_steps);
    let mut narrow = Vec::new();
    for rule in RateRule::ALL {
        narrow.push((rule, onward(&teacher, rule, images, setting, seed)?));
    }
    Ok(Seeded { seed, teacher, accuracy, flops, narrow })
}

/// Goes on from here under a rule, by a copy.
fn onward(trained: &Trained, rule: RateRule, images: &Images, setting: &Setting, seed: u64) -> anyhow::Result<Curve> {
    let rate = rule.rate(setting.learning_rate, trained.state.optimizer.step);
    Course { images, seed, order: "student", rate, steps: setting.steps }.run(&mut trained.clone())
}

fn one_set(
    seeded: &Seeded,
    ways: &[Way],
    images: &Images,
    setting: &Setting,
    lines: &mut Vec<Line>,
) -> anyhow::Result<()> {
    let seed = seeded.seed;
    let full = Rate::constant(setting.learning_rate);
    let (teacher, network) = (&seeded.teacher, &seeded.teacher.network);
    // From scratch, in the size that the first way leads to, and as long as the teacher's cost would have allowed too.
    let grown = plan(network, &ways[0].request, seed)?.student().clone();
    let mut scratch = Trained::new(grown, seed + ANEW)?;
    let longer = setting.steps + (seeded.flops / scratch.flops(1)).round() as u64;
    let course = Course { images, seed, order: "student", rate: full, steps: longer };
    let long = course.run(&mut scratch)?;
    let short: Curve = long.iter().copied().filter(|(step, _)| *step <= setting.steps).collect();
    let (_, narrow) =
        seeded.narrow.iter().find(|(rule, _)| *rule == RateRule::Full).expect("it went on under every rule");
    let against = Against {
        teacher: seeded.accuracy,
        teacher_flops: seeded.flops,
        narrow: end(narrow),
        scratch: end(&short),
        scratch_flops: scratch.flops(setting.steps),
    };
    for way in ways {
        let (student, growth) = grow(teacher, way, images, (seed, setting))?;
        for rule in RateRule::ALL {
            let curve = onward(&student, rule, images, setting, seed)?;
            let run = Run { curve, growth: Some(growth), against, flops: student.flops(1) };
            add(lines, (&way.name, rule.name()), run);
        }
    }
    let run = |curve, flops| Run { curve, growth: None, against, flops };
    for (rule, curve) in &seeded.narrow {
        add(lines, ("no growth", rule.name()), run(curve.clone(), teacher.flops(1)));
    }
    add(lines, (SCRATCH, RateRule::Full.name()), run(short, scratch.flops(1)));
    add(lines, (&format!("{SCRATCH}, at the whole cost"), RateRule::Full.name()), run(long, scratch.flops(1)));
    Ok(())
}

/// The student with its training state, and what the growth did.
fn grow(
    teacher: &Trained,
    way: &Way,
    images: &Images,
    (seed, setting): (u64, &Setting),
) -> anyhow::Result<(Trained, Growth)> {
    let pixels = teacher.network.input().elements();
    let count = images.train.classes.len().min(PROBE_ROWS);
    let probe = Probe { rows: (0..count).map(|row| images.train.row(row, pixels).to_vec()).collect(), seed };
    let plan = plan(&teacher.network, &way.request, seed)?;
    let plan = measure(plan, &teacher.network, &teacher.state.parameters, &probe)?;
    let state = apply(&plan, &teacher.network, &teacher.state, &OPTIMIZER)?;
    let rate = RateRule::Full.rate(setting.learning_rate, state.optimizer.step);
    let drift = drift(&plan, &teacher.network, &state, (&OPTIMIZER, &rate), &probe)?;
    let student = Trained { network: plan.student().clone(), state };
    let difference = difference(teacher, &student, images)?;
    Ok((student, Growth { difference, drift }))
}

fn difference(teacher: &Trained, student: &Trained, images: &Images) -> anyhow::Result<f64> {
    let old = logits(&teacher.network, &teacher.state.parameters, images)?;
    let new = logits(&student.network, &student.state.parameters, images)?;
    let largest = old.iter().fold(1.0f32, |largest, logit| largest.max(logit.abs()));
    let apart = old.iter().zip(&new).map(|(old, new)| (old - new).abs()).fold(0.0f32, f32::max);
    Ok(f64::from(apart / largest))
}

/// The accuracy at the end of a curve.
pub fn end(curve: &Curve) -> f64 {
    curve.last().expect("a curve begins with step 0").1
}

fn add(lines: &mut Vec<Line>, (way, rate): (&str, &'static str), run: Run) {
    match lines.iter_mut().find(|line| line.way == way && line.rate == rate) {
        Some(line) => line.runs.push(run),
        None => lines.push(Line { way: way.to_owned(), rate, runs: vec![run] }),
    }
}
