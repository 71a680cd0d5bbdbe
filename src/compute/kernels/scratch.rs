//! Room that a thread keeps for the copies a kernel makes while it runs: no page of it is asked for twice.

use std::cell::RefCell;

thread_local! {
    static ROOM: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// Runs `work` with room for `count` numbers, which hold anything. Calls may nest.
pub(super) fn with<R>(count: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    let mut room = ROOM.with_borrow_mut(Vec::pop).unwrap_or_default();
    if room.len() < count {
        room.resize(count, 0.0);
    }
    if cfg!(test) {
        // Whoever reads what it has not written is to notice.
        room.fill(f32::NAN);
    }
    let result = work(&mut room[..count]);
    ROOM.with_borrow_mut(|rooms| rooms.push(room));
    result
}

/// How many numbers the current thread keeps room for: what kernels borrowed of it at once, at the most, or more where
/// large rooms were nested now outside and now inside.
pub fn kept_room() -> usize {
    ROOM.with_borrow(|rooms| rooms.iter().map(Vec::len).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_rooms_are_apart_and_come_back() {
        with(8, |outer| {
            outer.fill(1.0);
            with(8, |inner| inner.fill(2.0));
            assert_eq!(outer, [1.0; 8]);
        });
        assert_eq!(kept_room(), 16);
    }
}
