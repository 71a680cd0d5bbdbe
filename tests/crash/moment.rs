//! When a server is killed.

use std::time::Duration;

use crate::dice::Dice;

/// The longest life, if what a kill waits for does not come.
pub const LONGEST: Duration = Duration::from_millis(3_500);

/// The moment of a kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// So long after its start.
    Any(Duration),
    /// While it starts.
    Starting(Duration),
    /// While blobs of a checkpoint or version are being written, before the commit that names them.
    Publishing,
    /// So long after a growth order went into the journal.
    Growing(Duration),
    /// So long after a request for examples was sent: the `n`th of this life.
    Ingesting(u64, Duration),
    /// While the rows of a deleted learner are being deleted.
    Deleting,
    /// So long after changed settings were sent.
    Changing(Duration),
}

impl Moment {
    /// The next one.
    pub fn draw(dice: &mut Dice) -> Self {
        let mut within = |millis: u64| Duration::from_micros(dice.below(1_000 * millis));
        let (any, starting, growing, ingesting, changing) =
            (within(2_600), within(250), within(60), within(12), within(60));
        match dice.below(100) {
            0..30 => Self::Any(any),
            30..40 => Self::Starting(starting),
            40..60 => Self::Publishing,
            60..75 => Self::Growing(growing),
            75..87 => Self::Ingesting(1 + dice.below(20), ingesting),
            87..94 => Self::Deleting,
            _ => Self::Changing(changing),
        }
    }

    /// Its kind.
    pub fn name(self) -> &'static str {
        match self {
            Self::Any(_) => "any",
            Self::Starting(_) => "starting",
            Self::Publishing => "publishing",
            Self::Growing(_) => "growing",
            Self::Ingesting(..) => "ingesting",
            Self::Deleting => "deleting",
            Self::Changing(_) => "changing",
        }
    }
}
