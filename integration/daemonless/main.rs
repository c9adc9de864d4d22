//! Tests of the whole program that need no daemon.

#[path = "../support/mod.rs"]
mod support;

mod docs;
mod floors;
mod image_layout;
