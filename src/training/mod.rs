//! Training: what moves a learner forward.
//!
//! A trainer is a function of its learner's stream and journal: whatever it is about to do stands in the journal before
//! its first step, and every random choice is keyed, so a restart continues as if nothing had happened.

pub mod adoption;
pub mod assembly;
mod averages;
pub mod changes;
pub mod checkpoint;
mod corrections;
pub mod creation;
mod demands;
pub mod encoded;
pub mod engine;
mod environment;
mod error;
pub mod evaluation;
mod exact;
pub mod fleet;
pub mod follow;
pub mod gate;
mod gate_progress;
mod growing;
pub mod growth_order;
pub mod history;
mod inputs;
pub mod journal;
pub mod learned;
pub mod learner;
mod learner_slot;
mod leases;
pub mod life;
mod load;
pub mod memory;
mod orders;
mod passes;
pub mod patch;
mod progress;
pub mod progressive;
mod publish;
pub mod rates;
pub mod replay;
pub mod rescale;
mod residents;
mod round;
mod rows;
pub mod settings;
mod sharing;
mod showing;
pub mod standing;
pub mod status;
pub mod step;
mod steps;
pub mod store;
pub mod supervisor;
#[cfg(test)]
mod tests;
mod trainer;
pub mod trend;
mod turn_loop;
mod turns;
mod watch;

pub use changes::{Change, ChangeSender, Changes};
pub use checkpoint::Checkpoint;
pub use fleet::{FleetStore, Holder, Overview};
pub use follow::{Follower, Learners};
pub use growth_order::{GrowthOrder, GrowthTicket, TicketState, Trigger};
pub use journal::{GateOutcome, GrowthEvent, JournalEvent, JournalRecord};
pub use learner::{LearnerDocument, LearnerRecord};
pub use patch::LearnerPatch;
pub use settings::TrainingSettings;
pub use sharing::Sharing;
pub use status::{TrainerStatus, TrainingState};
pub use store::{Commit, CreateError, Fence, NewVersion, Store, TrainingStore};
pub use supervisor::Supervisor;
