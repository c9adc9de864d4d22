//! What is done with the records of a project's runs: listed, compared, removed, and exchanged with
//! the registries that have their images.
//!
//! The files themselves are [`crate::records`]' business.

pub mod attached;
mod compare;
mod ended;
mod error;
mod gc;
mod keep;
mod list;
mod needed;
mod prune;
mod pull;
mod push;
mod tracked;

pub use self::compare::{RunComparison, compare};
pub use self::ended::{complete, complete_in_cluster};
pub use self::error::RunsError;
pub use self::gc::{Garbage, GcPlan, GcRequest, Kept, gc_plan, lost, named_images, remove_garbage};
pub use self::keep::keep;
pub use self::list::{ListRequest, RunList, RunState, SortBy, list};
pub use self::prune::{PruneRequest, prune};
pub use self::pull::{Pulled, pull};
pub use self::push::{PushRequest, PushedRun, push};
pub use self::tracked::{
    TrackedList, TrackedRun, is_of, list_tracked, pointed_image, record_of, recorded,
};
