//! The allocator under test: mimalloc, or with the variable `SYSTEM_ALLOCATOR` set the C library's.
//!
//! The choice is made at the first allocation and never changes, so that what one gave out is never given to the other.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU8, Ordering};

use mimalloc::MiMalloc;

const UNKNOWN: u8 = 0;
const MIMALLOC: u8 = 1;
const SYSTEM: u8 = 2;

static CHOICE: AtomicU8 = AtomicU8::new(UNKNOWN);

/// Whichever was chosen.
pub struct Chosen;

unsafe extern "C" {
    fn getenv(name: *const std::ffi::c_char) -> *const std::ffi::c_char;
}

fn system() -> bool {
    let mut choice = CHOICE.load(Ordering::Relaxed);
    if choice == UNKNOWN {
        // SAFETY: the name ends with a zero, and nothing has changed the environment before the first allocation.
        // `std::env::var` would allocate.
        let set = unsafe { !getenv(c"SYSTEM_ALLOCATOR".as_ptr()).is_null() };
        choice = if set { SYSTEM } else { MIMALLOC };
        CHOICE.store(choice, Ordering::Relaxed);
    }
    choice == SYSTEM
}

// SAFETY: every call goes to one and the same allocator, whose contract this is.
unsafe impl GlobalAlloc for Chosen {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        unsafe { if system() { System.alloc(layout) } else { MiMalloc.alloc(layout) } }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        unsafe { if system() { System.alloc_zeroed(layout) } else { MiMalloc.alloc_zeroed(layout) } }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        unsafe { if system() { System.dealloc(at, layout) } else { MiMalloc.dealloc(at, layout) } }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        unsafe { if system() { System.realloc(at, layout, size) } else { MiMalloc.realloc(at, layout, size) } }
    }
}
