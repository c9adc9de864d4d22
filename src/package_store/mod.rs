//! The packages that locked builds are made from: kept by hash in a folder of this machine's user,
//! and laid out as the folder that a build mounts.
//!
//! Where they come from (an answer of a builder, a registry) is left to the commands.

mod answer;
mod deb;
mod folder;
mod prune;
mod store;
mod view;

pub use answer::{Answer, read_answer, read_fetched};
pub use prune::{Choice, Kept, Prune};
pub use store::{Refused, Store, StoreError};
pub use view::View;
