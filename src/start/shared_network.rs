//! The network of containers of the private Docker and of Apptainer: neither makes one, so they share this
//! machine's.

use super::error::StartError;
use super::runtime_cli::ContainerRuntime;
use crate::runtime::{Options, RuntimeCli, Value};

/// Whether a container with these options gets this machine's network for want of another.
pub(super) fn is_used(runtime: &ContainerRuntime, options: &Options) -> bool {
    let has_none = runtime.is_private || runtime.cli == RuntimeCli::Apptainer;
    has_none && options.all("network").next().is_none()
}

/// A port of such a container is this machine's, with its number and on the addresses that the
/// program listens on: another number, or an address, can't be had.
///
/// # Errors
/// [`StartError::PrivatePorts`].
pub(super) fn check(runtime: &ContainerRuntime, options: &Options) -> Result<(), StartError> {
    // Apptainer's flags say it themselves.
    if !runtime.is_private || !is_used(runtime, options) {
        return Ok(());
    }
    for value in options.all("publish") {
        let is_as_it_is = match value {
            Value::Publish(port) => {
                port.address.is_none() && port.host.as_ref() == Some(&port.container)
            }
            _ => false,
        };
        if !is_as_it_is {
            let asked = value.to_string();
            return Err(StartError::PrivatePorts { asked });
        }
    }
    Ok(())
}
