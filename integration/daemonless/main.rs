//! Tests of the whole program that need no daemon.

#[path = "../support/mod.rs"]
mod support;

mod architecture;
mod ci;
mod commands_shown;
mod config_page;
mod dev;
mod diff;
mod docs;
mod environment;
mod layers;
mod image;
mod image_layout;
mod queue;
mod records;
mod run;
mod strangers;
