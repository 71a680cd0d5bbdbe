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
    /// So long after a correction was sent: the `n`th of this life.
    Correcting(u64, Duration),
    /// While the rows of a deleted learner are being deleted.
    Deleting,
    /// So long after changed settings were sent.
    Changing(Duration),
}

impl Moment {
    /// The next one.
    pub fn draw(dice: &mut Dice) -> Self {
        let mut within = |millis: u64| Duration::from_micros(dice.below(1_000 * millis));
        let (any, starting, growing, request, changing) =
            (within(2_600), within(250), within(60), within(12), within(60));
        match dice.below(100) {
            0..28 => Self::Any(any),
            28..38 => Self::Starting(starting),
            38..56 => Self::Publishing,
            56..70 => Self::Growing(growing),
            70..80 => Self::Ingesting(1 + dice.below(20), request),
            80..88 => Self::Correcting(1 + dice.below(10), request),
            88..94 => Self::Deleting,
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
            Self::Correcting(..) => "correcting",
            Self::Deleting => "deleting",
            Self::Changing(_) => "changing",
        }
    }
}
