//! Training: what moves a learner forward.
//!
//! A trainer is a function of its learner's stream and journal: whatever it is about to do stands in the journal before
//! its first step, and every random choice is keyed, so a restart continues as if nothing had happened.

pub mod checkpoint;
pub mod encoded;
pub mod evaluation;
mod exact;
pub mod gate;
pub mod growth_order;
pub mod history;
pub mod journal;
pub mod learner;
pub mod patch;
pub mod progressive;
pub mod rates;
pub mod replay;
pub mod rescale;
pub mod settings;
pub mod status;
pub mod step;
pub mod store;
pub mod supervisor;
pub mod trend;

pub use checkpoint::Checkpoint;
pub use growth_order::{GrowthOrder, GrowthTicket, TicketState, Trigger};
pub use journal::{GateOutcome, GrowthEvent, JournalEvent, JournalRecord};
pub use learner::{LearnerDocument, LearnerRecord};
pub use patch::LearnerPatch;
pub use settings::TrainingSettings;
pub use status::{TrainerStatus, TrainingState};
pub use store::{Commit, CreateError, Fence, NewVersion, Store, TrainingStore};
pub use supervisor::Supervisor;
