//! Fixed numbers that both sides can make without a file between them: sines of their positions.

/// One wave: how far the angle goes from one position to the next, and where it begins.
#[derive(Debug, Clone, Copy)]
pub struct Wave {
    pub speed: f64,
    pub phase: f64,
}

/// That of inputs.
pub const INPUT: Wave = Wave { speed: 0.11, phase: 0.0 };

/// That of parameter number `index`.
pub fn of_parameter(index: usize) -> Wave {
    Wave { speed: 0.7, phase: index as f64 }
}

/// The first `count` numbers of a wave: computed in f64, kept in f32.
pub fn values(count: usize, wave: Wave) -> Vec<f32> {
    (0..count).map(|position| (position as f64 * wave.speed + wave.phase).sin() as f32).collect()
}
