//! How a gradient is put where it arrives: written, or added to what stands there.

use super::crew::Shared;
use super::kernel::Arrival;

/// Numbers of a piece that one task goes over: few enough to stay in a core's own cache from one loop to the next. Tests
/// cut small batches as large ones are cut.
pub(super) const PIECE: usize = if cfg!(test) { 1 << 5 } else { 1 << 14 };

/// What becomes of the number that stands where another arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Put {
    /// It is written over.
    Over,
    /// The other is added.
    Onto,
}

impl Put {
    /// Puts numbers into a slice as long as they are many.
    #[inline(always)]
    pub(super) fn all(self, to: &mut [f32], numbers: impl Iterator<Item = f32>) {
        match self {
            Self::Over => to.iter_mut().zip(numbers).for_each(|(to, number)| *to = number),
            Self::Onto => to.iter_mut().zip(numbers).for_each(|(to, number)| *to += number),
        }
    }
}

impl Arrival<'_> {
    /// The same, for a kernel that another is made of.
    pub(super) fn lent(&mut self) -> Arrival<'_> {
        match self {
            Self::Unwanted => Arrival::Unwanted,
            Self::InPlace => Arrival::InPlace,
            Self::First(to) => Arrival::First(to),
            Self::Further(to) => Arrival::Further(to),
        }
    }

    /// Where the gradient goes and how, if anybody asks for it.
    pub(super) fn place(&mut self) -> Option<(Shared<'_>, Put)> {
        match self {
            Self::Unwanted | Self::InPlace => None,
            Self::First(to) => Some((Shared::new(to), Put::Over)),
            Self::Further(to) => Some((Shared::new(to), Put::Onto)),
        }
    }
}
