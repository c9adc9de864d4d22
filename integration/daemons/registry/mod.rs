//! Our registry client against real registries: those that the engines bring up, and
//! private ones that a test may kill, fill up or put a bad line in front of.

pub mod cable;
mod child;
pub mod own;

mod attach;
mod auth;
mod cut;
mod docker;
pub mod fail;
mod push;
mod resolve;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use mlbuild::registry::{
    CredentialStore, PushEvent, PushProgress, Registry, RegistryOptions, Retry,
};
use oci_spec::distribution::Reference;

/// Options without any log-in, and with quick retries.
fn options() -> RegistryOptions {
    RegistryOptions {
        credentials: CredentialStore::from_files([]),
        retry: Retry {
            attempts: 5,
            first_wait: Duration::from_millis(20),
        },
        ..RegistryOptions::default()
    }
}

fn client() -> Registry {
    Registry::new(options())
}

fn reference(host: &str, name: &str) -> Reference {
    format!("{host}/mlbuild-registry-tests/{name}")
        .parse()
        .unwrap()
}

/// Collects what a push tells.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<PushEvent>>>);

impl Heard {
    fn listener(&self) -> PushProgress {
        let all = self.0.clone();
        Arc::new(move |event| all.lock().unwrap().push(event))
    }

    fn count(&self, is: impl Fn(&PushEvent) -> bool) -> usize {
        self.0.lock().unwrap().iter().filter(|e| is(e)).count()
    }

    fn existing(&self) -> usize {
        self.count(|e| matches!(e, PushEvent::Exists { .. }))
    }

    fn uploaded(&self) -> usize {
        self.count(|e| matches!(e, PushEvent::Uploaded { .. }))
    }

    fn mounted(&self) -> usize {
        self.count(|e| matches!(e, PushEvent::Mounted { .. }))
    }

    fn retries(&self) -> usize {
        self.count(|e| matches!(e, PushEvent::Retry { .. }))
    }
}

/// Hears nothing.
fn silent() -> PushProgress {
    Arc::new(|_| {})
}
