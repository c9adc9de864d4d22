//! Tests of the whole program that need no daemon.

#[path = "../support/mod.rs"]
mod support;

#[path = "../chaos/mod.rs"]
mod chaos;
#[path = "../chaos/left.rs"]
mod left;
#[path = "../chaos/peers.rs"]
mod peers;

mod architecture;
mod ci;
mod commands_shown;
mod config_page;
mod dev;
mod diff;
mod docs;
mod environment;
mod fuzz;
mod hints;
mod image;
mod image_layout;
mod layers;
mod memory;
mod pages;
mod queue;
mod records;
mod run;
mod strangers;
mod workflows;
