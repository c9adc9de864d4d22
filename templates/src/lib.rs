//! ImageSpec to Dockerfile: templates, bases and compatibility tables.
//!
//! [`compose::compose`] turns a [`spec::ImageSpec`] into a [`dockerfile::Dockerfile`] and says what
//! it noticed on the way. Nothing here talks to a builder, a registry or the network; the only
//! files read are the project's own (requirements, lock files) where the caller names a folder.

pub mod builtin;
pub mod compose;
pub mod dockerfile;
pub mod guard;
pub mod own;
pub mod project;
pub mod reference;
pub mod spec;
pub mod tables;
pub mod value;

pub use compose::{
    ComposeContext, ComposeError, Composition, PackageRequest, SecretUse, Warning, compose,
};
pub use spec::{
    Accelerator, ImageSpec, Installer, PythonEnvironment, PythonSpec, ServingSpec, TargetSpec,
    TemplateName, UserSpec,
};
