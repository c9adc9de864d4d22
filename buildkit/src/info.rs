//! What a builder is and can do. Daemons drop what they don't know without a
//! word, so a caller asks here first.

use std::collections::BTreeMap;
use std::fmt;

use mlbuild_proto::moby::buildkit::v1::types::WorkerRecord;
use mlbuild_proto::pb;

/// What a builder says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuilderInfo {
    /// Which program runs the builder.
    pub kind: BuilderKind,
    /// BuildKit's version: as told, or derived from Docker's where the build
    /// of Docker doesn't tell. `None` if neither is known.
    pub buildkit: Option<BuildKitVersion>,
    /// BuildKit's version as the daemon wrote it.
    pub buildkit_text: String,
    /// What it builds with.
    pub workers: Vec<Worker>,
}

/// Which program runs the builder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BuilderKind {
    /// A standalone buildkitd.
    Buildkitd,
    /// The BuildKit inside a Docker daemon.
    Docker {
        /// The engine's version, such as `28.5.2`.
        version: String,
        /// Where its images live.
        store: ImageStore,
    },
}

/// Where a Docker daemon's images live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageStore {
    /// containerd's content store: whole images with their manifests.
    Containerd,
    /// The classic graph drivers: layers unpacked, manifests forgotten.
    Classic,
}

/// One worker of a builder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worker {
    /// Its id.
    pub id: String,
    /// Facts about it, such as its snapshotter.
    pub labels: BTreeMap<String, String>,
    /// Platforms that it can build for, as `os/arch[/variant]`, its own first.
    pub platforms: Vec<String>,
}

/// A BuildKit version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BuildKitVersion {
    /// First number.
    pub major: u32,
    /// Second number.
    pub minor: u32,
    /// Third number.
    pub patch: u32,
}

/// Something that not every builder can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Feature {
    /// The `image` exporter: a complete image in the builder's own store.
    ImageExporter,
    /// The `oci` exporter: an OCI layout as a tar.
    OciExporter,
    /// The `docker` exporter: a tar for `docker load`.
    DockerExporter,
    /// `push=true`: the builder itself pushes.
    Push,
    /// More than one exporter in one solve.
    SeveralExporters,
    /// `compression`, `compression-level`, `force-compression`.
    Compression,
    /// Provenance and SBOM attestations.
    Attestations,
    /// Cache export to a registry.
    CacheRegistry,
    /// Cache export to a local folder.
    CacheLocal,
    /// Cache export to GitHub Actions.
    CacheGha,
    /// Cache export to S3.
    CacheS3,
    /// Cache inside the image's own configuration.
    CacheInline,
    /// More than one platform in one solve.
    MultiPlatform,
    /// Source policies.
    SourcePolicy,
    /// Named build contexts.
    NamedContexts,
    /// `oci-layout://` contexts.
    OciLayoutContexts,
    /// `RUN <<EOF` and `COPY <<EOF`.
    Heredocs,
    /// `SOURCE_DATE_EPOCH` reaches the image configuration.
    SourceDateEpoch,
    /// `rewrite-timestamp` in exporters.
    RewriteTimestamp,
    /// `frontend.lint`.
    Lint,
    /// The record of finished builds, where provenance is kept.
    BuildHistory,
}

impl Feature {
    /// The BuildKit that brought it.
    fn since(self) -> BuildKitVersion {
        let (minor, patch) = match self {
            Self::ImageExporter
            | Self::OciExporter
            | Self::DockerExporter
            | Self::Push
            | Self::CacheRegistry
            | Self::CacheLocal
            | Self::CacheInline
            | Self::MultiPlatform => (8, 0),
            Self::Compression => (9, 0),
            Self::CacheGha => (9, 3),
            Self::Heredocs | Self::NamedContexts => (10, 0),
            Self::OciLayoutContexts => (10, 4),
            Self::Attestations
            | Self::SourcePolicy
            | Self::SourceDateEpoch
            | Self::BuildHistory
            | Self::CacheS3 => (11, 0),
            Self::SeveralExporters | Self::RewriteTimestamp => (13, 0),
            Self::Lint => (14, 0),
        };
        BuildKitVersion {
            major: 0,
            minor,
            patch,
        }
    }

    /// Whether a Docker daemon's classic image store stands in its way.
    fn needs_content_store(self) -> bool {
        matches!(
            self,
            Self::ImageExporter
                | Self::OciExporter
                | Self::DockerExporter
                | Self::Push
                | Self::Compression
                | Self::Attestations
                | Self::CacheRegistry
                | Self::CacheLocal
                | Self::CacheGha
                | Self::CacheS3
                | Self::MultiPlatform
                | Self::RewriteTimestamp
        )
    }
}

impl BuilderInfo {
    /// Whether the builder really does `feature`, rather than dropping the
    /// request for it. An unknown version counts as new.
    pub fn supports(&self, feature: Feature) -> bool {
        if self.buildkit.is_some_and(|v| v < feature.since()) {
            return false;
        }
        match &self.kind {
            BuilderKind::Buildkitd => true,
            BuilderKind::Docker { store, .. } => {
                !(feature == Feature::CacheS3
                    || *store == ImageStore::Classic && feature.needs_content_store())
            }
        }
    }

    /// Why `feature` is missing, and what would bring it; `None` if it isn't
    /// missing.
    pub fn missing(&self, feature: Feature) -> Option<String> {
        if self.supports(feature) {
            return None;
        }
        let since = feature.since();
        if self.buildkit.is_some_and(|v| v < since) {
            return Some(format!(
                "it needs BuildKit {since}; {self} has {}",
                self.buildkit_text()
            ));
        }
        Some(match &self.kind {
            BuilderKind::Docker {
                store: ImageStore::Classic,
                ..
            } if feature.needs_content_store() => format!(
                "{self} keeps images in its classic store, which ignores it; turn \
                 `containerd-snapshotter` on in /etc/docker/daemon.json, or use a buildkitd"
            ),
            _ => format!("{self} is built without it; use a buildkitd"),
        })
    }

    fn buildkit_text(&self) -> String {
        match self.buildkit {
            Some(version) => version.to_string(),
            None => self.buildkit_text.clone(),
        }
    }

    /// The platform that the builder runs on, as `os/arch[/variant]`.
    pub fn native_platform(&self) -> Option<&str> {
        self.workers.first()?.platforms.first().map(String::as_str)
    }

    /// All platforms that it can build for, sorted.
    pub fn platforms(&self) -> Vec<&str> {
        let mut all: Vec<&str> = self
            .workers
            .iter()
            .flat_map(|w| w.platforms.iter().map(String::as_str))
            .collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

impl fmt::Display for BuilderInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            BuilderKind::Buildkitd => write!(f, "buildkitd {}", self.buildkit_text()),
            BuilderKind::Docker { version, .. } => write!(f, "Docker {version}"),
        }
    }
}

impl Worker {
    pub(crate) fn new(record: &WorkerRecord) -> Self {
        Self {
            id: record.id.clone(),
            labels: record.labels.clone(),
            platforms: record.platforms.iter().map(platform).collect(),
        }
    }
}

fn platform(p: &pb::Platform) -> String {
    let mut text = format!("{}/{}", p.os, p.architecture);
    // v8 is what arm64 means by itself.
    if !p.variant.is_empty() && (p.architecture.as_str(), p.variant.as_str()) != ("arm64", "v8") {
        text.push('/');
        text.push_str(&p.variant);
    }
    text
}

impl BuildKitVersion {
    /// Reads `v0.32.2` and its like, with any suffix. Builds that don't know
    /// their version call themselves `v0.0.0+unknown`: those give `None`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut numbers = text
            .trim_start_matches('v')
            .split(|c: char| !c.is_ascii_digit())
            .map(str::parse::<u32>);
        let version = Self {
            major: numbers.next()?.ok()?,
            minor: numbers.next()?.ok()?,
            patch: numbers.next().and_then(Result::ok).unwrap_or(0),
        };
        let unknown = Self {
            major: 0,
            minor: 0,
            patch: 0,
        };
        (version != unknown).then_some(version)
    }

    /// The BuildKit inside a Docker engine, for engines whose build doesn't
    /// say: the oldest that the engine's line was released with.
    pub fn of_docker(engine: &str) -> Option<Self> {
        let engine = Self::parse(engine)?;
        let (minor, patch) = match (engine.major, engine.minor) {
            (..=19, _) => return None,
            (20, _) => (8, 4),
            (23, _) => (10, 7),
            (24, _) => (11, 7),
            (25, _) => (12, 5),
            (26, _) => (13, 2),
            (27, ..=3) => (14, 1),
            (27, 4) => (17, 3),
            (27, _) => (18, 2),
            (28, ..=4) => (20, 0),
            (28, _) => (25, 1),
            (29, ..=6) => (25, 2),
            (29, _) => (32, 2),
            _ => return None,
        };
        Some(Self {
            major: 0,
            minor,
            patch,
        })
    }
}

impl fmt::Display for BuildKitVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn docker(version: &str, store: ImageStore) -> BuilderInfo {
        BuilderInfo {
            kind: BuilderKind::Docker {
                version: version.into(),
                store,
            },
            buildkit: BuildKitVersion::of_docker(version),
            buildkit_text: "v0.0.0+unknown".into(),
            workers: vec![],
        }
    }

    #[test]
    fn versions_are_read() {
        let parse = |text| BuildKitVersion::parse(text).map(|v| v.to_string());
        assert_eq!(parse("v0.32.2").as_deref(), Some("0.32.2"));
        assert_eq!(parse("v0.13.0-rc2").as_deref(), Some("0.13.0"));
        assert_eq!(parse("0.8.4-pre+azure").as_deref(), Some("0.8.4"));
        assert_eq!(parse("v0.0.0+unknown"), None);
        assert_eq!(parse(""), None);
        assert_eq!(parse("dev"), None);
    }

    #[test]
    fn docker_engines_map_to_their_buildkit() {
        let of = |engine| BuildKitVersion::of_docker(engine).map(|v| v.to_string());
        assert_eq!(of("20.10.24+dfsg1").as_deref(), Some("0.8.4"));
        assert_eq!(of("26.1.5+dfsg1").as_deref(), Some("0.13.2"));
        assert_eq!(of("28.5.2").as_deref(), Some("0.25.1"));
        assert_eq!(of("99.0.0"), None);
    }

    #[test]
    fn what_a_daemon_ignores_is_told_with_a_way_out() {
        let classic = docker("26.1.5", ImageStore::Classic);
        assert!(!classic.supports(Feature::Push));
        insta::assert_snapshot!(classic.missing(Feature::Push).unwrap(), @"Docker 26.1.5 keeps images in its classic store, which ignores it; turn `containerd-snapshotter` on in /etc/docker/daemon.json, or use a buildkitd");
        let old = docker("20.10.24", ImageStore::Classic);
        insta::assert_snapshot!(old.missing(Feature::SourcePolicy).unwrap(), @"it needs BuildKit 0.11.0; Docker 20.10.24 has 0.8.4");
        let new = docker("26.1.5", ImageStore::Containerd);
        assert!(new.supports(Feature::Push) && new.missing(Feature::Push).is_none());
        insta::assert_snapshot!(new.missing(Feature::CacheS3).unwrap(), @"Docker 26.1.5 is built without it; use a buildkitd");
    }
}
