//! What a training step holds in memory, by purpose.
//!
//! A value without a clock or an allocator: whoever plans the buffers of a step fills it in, trainers report it.

/// Bytes that a training step holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Memory {
    /// Trained parameters and running statistics.
    pub weights: u64,
    /// The gradients of trained parameters.
    pub gradients: u64,
    /// Moments and birth steps.
    pub optimizer: u64,
    /// One batch and the outputs for it: of every node, of nodes that one kernel computes once.
    pub activations: u64,
    /// Everything else: what a step needs while it runs.
    pub scratch: u64,
}

impl Memory {
    /// All of it: the most that a step holds at once.
    pub fn peak(&self) -> u64 {
        self.needed() + self.gradients + self.scratch
    }

    /// The peak as a multiple of what no way of training does without: weights, optimizer state and the activations of one
    /// batch. 1 where nothing is held.
    pub fn ratio(&self) -> f64 {
        if self.needed() == 0 { 1.0 } else { self.peak() as f64 / self.needed() as f64 }
    }

    fn needed(&self) -> u64 {
        self.weights + self.optimizer + self.activations
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_of_the_peak_to_weights_optimizer_state_and_activations() {
        let memory = Memory { weights: 100, gradients: 100, optimizer: 200, activations: 100, scratch: 50 };
        assert_eq!(memory.peak(), 550);
        assert!((memory.ratio() - 1.375).abs() < 1e-12);
        assert_eq!(Memory::default().ratio(), 1.0);
    }
}
