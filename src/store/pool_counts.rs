//! How many connections of a pool are in use and how many idle, for the metric. For the stores alone.

/// Used and idle connections of a pool of so many.
///
/// sqlx counts a connection as idle only after others can take it, so its counter can stand one below nothing for a moment,
/// which reads as an enormous number: none is idle then.
pub(super) fn used_and_idle(size: u32, idle: usize) -> (u32, u32) {
    let idle = u32::try_from(idle).map_or(0, |idle| idle.min(size));
    (size - idle, idle)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Found by the crash harness: the page of metrics broke on the sum of two such counters.
    #[test]
    fn a_counter_of_idle_connections_below_nothing_is_none() {
        assert_eq!(used_and_idle(4, usize::MAX), (4, 0));
        assert_eq!(used_and_idle(4, 1), (3, 1));
        assert_eq!(used_and_idle(1, 2), (0, 1), "the pool shrank between the two counts");
        assert_eq!(used_and_idle(0, usize::MAX), (0, 0));
    }
}
