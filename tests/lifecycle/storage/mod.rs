//! Storage that fails under a real server, and the proof of syncing.
//!
//! Whatever fails: predictions go on, `/readyz` means "can predict", no 2xx is given for what is not kept, the answer has a
//! stable code, the log and a metric say so, and once the fault is gone everything goes on without help.

mod damaged;
mod full_disk;
mod moved;
mod read_only;
mod stream;
mod sync_order;
