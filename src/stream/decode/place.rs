//! Where in a body something stands, and the list of what is wrong there. Used by the decoders of this folder.

use std::cell::{Cell, RefCell};
use std::fmt::Write;

use super::Fault;
use super::row::UNKNOWN_FEATURE;

/// More faults than this are not worth reading.
pub(super) const MAX_FAULTS: usize = 100;

/// Longer keys are cut in pointers: no known key is, but a body may bring any.
const MAX_KEY: usize = 100;

/// The faults of a body, gathered while serde drives through it.
#[derive(Default)]
pub(super) struct FaultList {
    faults: RefCell<Vec<Fault>>,
    /// All of them, also those that are not kept.
    count: Cell<usize>,
    stopped_at: RefCell<Option<String>>,
    too_many_rows: Cell<bool>,
}

impl FaultList {
    /// The place of the whole body.
    pub fn root(&self) -> At<'_> {
        At { faults: self, parent: None, step: Step::Root }
    }

    /// Whether nothing is wrong so far.
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// Whether a row has a feature that the schema does not have.
    pub fn name_an_unknown_feature(&self) -> bool {
        self.faults.borrow().iter().any(|fault| fault.detail == UNKNOWN_FEATURE)
    }

    /// How many faults there are, also beyond those that are kept.
    pub fn count(&self) -> usize {
        self.count.get()
    }

    /// Notes that the body has more rows than it may have; reading stops there.
    pub fn note_too_many_rows(&self) {
        self.too_many_rows.set(true);
    }

    /// Whether the body has more rows than it may have.
    pub fn has_too_many_rows(&self) -> bool {
        self.too_many_rows.get()
    }

    /// The innermost value that was being read when the JSON broke off.
    pub fn stopped_at(&self) -> String {
        self.stopped_at.borrow().clone().unwrap_or_default()
    }

    /// Adds a fault at a pointer.
    pub fn add(&self, pointer: String, detail: impl Into<String>) {
        self.count.set(self.count.get() + 1);
        self.faults.borrow_mut().push(Fault { pointer, detail: detail.into() });
    }

    /// The faults, in order of the body.
    pub fn into_faults(self) -> Vec<Fault> {
        self.faults.into_inner()
    }
}

/// A place in a body. It lives on the stack of the reader, linked to the places around it; its pointer is only
/// written when there is a fault.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    faults: &'a FaultList,
    parent: Option<&'a At<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Root,
    Key(&'a str),
    Index(usize),
}

impl<'a> At<'a> {
    /// The value under a key of this object.
    pub fn key<'b>(&'b self, key: &'b str) -> At<'b> {
        At { faults: self.faults, parent: Some(self), step: Step::Key(key) }
    }

    /// The value at an index of this list.
    pub fn index(&self, index: usize) -> At<'_> {
        At { faults: self.faults, parent: Some(self), step: Step::Index(index) }
    }

    /// Notes what is wrong here.
    pub fn fault(&self, detail: &str) {
        if self.faults.faults.borrow().len() < MAX_FAULTS {
            self.faults.add(self.pointer(), detail);
        } else {
            self.faults.count.set(self.faults.count.get() + 1);
        }
    }

    /// Notes that the JSON broke off while this value was read; the first note, the innermost, stays.
    pub fn note_stop(&self) {
        let mut stopped_at = self.faults.stopped_at.borrow_mut();
        if stopped_at.is_none() {
            *stopped_at = Some(self.pointer());
        }
    }

    /// The list that faults go to.
    pub fn faults(&self) -> &'a FaultList {
        self.faults
    }

    /// The JSON pointer of this place (RFC 6901).
    pub fn pointer(&self) -> String {
        let mut pointer = self.parent.map(At::pointer).unwrap_or_default();
        match self.step {
            Step::Root => {}
            Step::Index(index) => write!(pointer, "/{index}").expect("writing to a string cannot fail"),
            Step::Key(key) => {
                pointer.push('/');
                for character in key.chars().take(MAX_KEY) {
                    match character {
                        '~' => pointer.push_str("~0"),
                        '/' => pointer.push_str("~1"),
                        other => pointer.push(other),
                    }
                }
            }
        }
        pointer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_escapes_the_keys_on_its_way() {
        let faults = FaultList::default();
        let root = faults.root();
        let examples = root.key("examples");
        let third = examples.index(3);
        assert_eq!(third.key("a/b~c").pointer(), "/examples/3/a~1b~0c");
        assert_eq!(root.pointer(), "");
        assert_eq!(root.key(&"x".repeat(1_000_000)).pointer().len(), 101);
    }

    #[test]
    fn a_hundred_faults_are_kept() {
        let faults = FaultList::default();
        (0..500).for_each(|index| faults.root().index(index).fault("wrong"));
        let kept = faults.into_faults();
        assert_eq!((kept.len(), kept[99].pointer.as_str()), (100, "/99"));
    }

    #[test]
    fn the_innermost_stop_stays() {
        let faults = FaultList::default();
        let root = faults.root();
        root.key("inner").note_stop();
        root.note_stop();
        assert_eq!(faults.stopped_at(), "/inner");
    }
}
