//! The builder: whether there is one, what it is, and what it can't do.

use mlbuild_buildkit::{
    BuilderInfo, BuilderKind, DiscoverError, DiscoverOptions, Discovered, Feature, ImageStore,
    discover,
};
use serde_json::Value;

use super::Finding;
use crate::private_engine::{self, Folder};

const AREA: &str = "builder";

/// Looks for a builder. Also returns what the Docker daemon around it says of itself.
pub(super) async fn check(options: &DiscoverOptions) -> (Vec<Finding>, Option<Value>) {
    let mut findings = Vec::new();
    let found = match discover(options).await {
        Ok(found) => found,
        Err(nowhere @ DiscoverError::Nowhere { .. }) => match private(options).await {
            Private::Runs(found) => *found,
            Private::Sleeps(finding) => return (vec![finding], None),
            Private::None => return (vec![missing(&nowhere)], None),
        },
        Err(error) => return (vec![missing(&error)], None),
    };
    match found.client.info().await {
        Ok(info) => {
            let store = match &info.kind {
                BuilderKind::Docker {
                    store: ImageStore::Containerd,
                    ..
                } => ", containerd image store",
                BuilderKind::Docker {
                    store: ImageStore::Classic,
                    ..
                } => ", classic image store",
                BuilderKind::Buildkitd => "",
            };
            findings.push(Finding::ok(
                AREA,
                format!("{info}{store} at {} ({})", found.endpoint, found.how),
            ));
            findings.push(Finding::ok(
                AREA,
                format!(
                    "BuildKit {} builds for {}",
                    version(&info),
                    info.platforms().join(" ")
                ),
            ));
            findings.extend(limits(&info));
        }
        Err(error) => findings.push(Finding::fail(
            AREA,
            format!(
                "{} answers, but doesn't say what it is: {error}",
                found.endpoint
            ),
            "look at the daemon's log",
        )),
    }
    let docker = match found.client.docker() {
        Some(api) => match api.info_json().await {
            Ok(info) => Some(info),
            Err(error) => {
                findings.push(Finding::warn(AREA, error.to_string(), "docker info"));
                None
            }
        },
        None => None,
    };
    (findings, docker)
}

/// The private builder.
enum Private {
    Runs(Box<Discovered>),
    Sleeps(Finding),
    None,
}

async fn private(options: &DiscoverOptions) -> Private {
    let Ok(folder) = Folder::default_place() else {
        return Private::None;
    };
    match private_engine::status(&folder).await {
        Ok(Some(engine)) => {
            let options = DiscoverOptions {
                builder: Some(engine.endpoint),
                connect: options.connect.clone(),
            };
            let found = discover(&options).await;
            found.map_or(Private::None, |found| {
                Private::Runs(Box::new(Discovered {
                    how: "private builder",
                    ..found
                }))
            })
        }
        Ok(None) if private_engine::sleeps(&folder) => Private::Sleeps(Finding::ok(
            AREA,
            "a private builder sleeps: builds and runs wake it",
        )),
        Ok(None) => Private::None,
        Err(error) => Private::Sleeps(Finding::fail(
            AREA,
            error.to_string(),
            "mlbuild engine down    # then, for a new one: mlbuild engine up",
        )),
    }
}

fn missing(error: &DiscoverError) -> Finding {
    let fix = match error {
        DiscoverError::Address { .. } => {
            "give an address such as unix:///run/buildkit/buildkitd.sock"
        }
        DiscoverError::Named { .. } => {
            "start that builder, or leave out --builder and BUILDKIT_HOST"
        }
        DiscoverError::Nowhere { tried }
            if tried
                .iter()
                .any(|t| t.reason.to_lowercase().contains("permission")) =>
        {
            "sudo usermod -aG docker \"$USER\" && newgrp docker    # lets you use Docker\nmlbuild engine up    # or: a private builder"
        }
        DiscoverError::Nowhere { .. } => {
            "mlbuild engine up    # fetches and starts a private builder"
        }
    };
    Finding::fail(AREA, error.to_string(), fix)
}

/// What this builder would drop or refuse, and what mlbuild does about it.
fn limits(info: &BuilderInfo) -> Vec<Finding> {
    let checked = [
        (Feature::Push, "pushing from the builder"),
        (Feature::OciExporter, "locked builds (OCI layouts)"),
        (Feature::MultiPlatform, "several platforms at once"),
        (Feature::Heredocs, "heredocs in Dockerfiles"),
        (Feature::SourcePolicy, "source policies"),
        (Feature::Attestations, "attestations"),
        (Feature::CacheRegistry, "caches in a registry"),
    ];
    let lacking: Vec<&str> = checked
        .into_iter()
        .filter(|(f, _)| !info.supports(*f))
        .map(|(_, name)| name)
        .collect();
    if lacking.is_empty() {
        return Vec::new();
    }
    let fix = match &info.kind {
        BuilderKind::Docker {
            store: ImageStore::Classic,
            version,
        } if major(version) >= 23 => {
            "switch Docker to the containerd image store: {\"features\": {\"containerd-snapshotter\": true}} in /etc/docker/daemon.json, then sudo systemctl restart docker\nmlbuild engine up    # or: a private builder beside it"
        }
        BuilderKind::Docker { .. } => {
            "upgrade Docker to 26 or newer\nmlbuild engine up    # or: a private builder beside it"
        }
        BuilderKind::Buildkitd => "upgrade BuildKit to v0.13 or newer",
    };
    vec![Finding::warn(
        AREA,
        format!("this builder can't do: {}", lacking.join(", ")),
        fix,
    )]
}

/// What the daemon says, or what its Docker is known to hold.
fn version(info: &BuilderInfo) -> String {
    match (&info.buildkit, info.buildkit_text.as_str()) {
        (_, text) if !text.is_empty() && !text.contains("unknown") => text.to_owned(),
        (Some(known), _) => format!("v{known} (by Docker's version)"),
        (None, _) => "of an unknown version".to_owned(),
    }
}

fn major(version: &str) -> u32 {
    version
        .split('.')
        .next()
        .and_then(|m| m.parse().ok())
        .unwrap_or(0)
}
