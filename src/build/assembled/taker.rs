//! The Docker that takes an image which mlbuild makes.

use mlbuild_buildkit::Feature;
use mlbuild_docker::api::DockerApi;
use mlbuild_progress::printable;

use crate::build::BuildError;
use crate::builder::{self, Builder, BuilderError, PlanFeature};
use crate::plan::{BuildPlan, Compression};
use crate::settings::ImageSettings;

/// A Docker.
pub(crate) enum Docker {
    /// That of the builder at hand.
    OfBuilder(Box<Builder>),
    /// This machine's.
    Local(Box<mlbuild_buildkit::Client>),
}

impl Docker {
    pub(crate) fn api(&self) -> Result<&DockerApi, BuildError> {
        match self {
            Docker::OfBuilder(builder) => Ok(builder.docker()?),
            Docker::Local(client) => Ok(client.docker().ok_or(BuilderError::NoDocker)?),
        }
    }
}

impl Docker {
    /// Refuses an image for several platforms where it keeps images of one.
    ///
    /// # Errors
    /// Why it doesn't take it.
    pub(crate) async fn check_platforms(&self, platforms: usize) -> Result<(), BuildError> {
        if platforms < 2 {
            return Ok(());
        }
        let missing = match self {
            Docker::OfBuilder(builder) => builder.info().missing(Feature::MultiPlatform),
            Docker::Local(client) => match client.info().await {
                Ok(info) => info.missing(Feature::MultiPlatform),
                Err(_) => None,
            },
        };
        match missing {
            Some(why) => {
                let feature = PlanFeature::SeveralPlatforms;
                Err(BuilderError::Unsupported { feature, why }.into())
            }
            None => Ok(()),
        }
    }
}

impl Docker {
    /// Refuses one that doesn't read layers that are packed with zstd.
    ///
    /// # Errors
    /// The reason, for people.
    pub(crate) async fn check_reads_zstd(&self) -> Result<(), String> {
        check_reads_zstd(self.api().ok()).await
    }
}

/// The Docker that the image goes to, where it goes to one: the builder's, else this machine's.
///
/// # Errors
/// Where there is none.
pub(super) async fn docker(
    settings: &ImageSettings,
    plan: &BuildPlan,
) -> Result<Option<Docker>, BuildError> {
    if !is_asked(plan, "docker") && (settings.build.push || !is_asked(plan, "image")) {
        return Ok(None);
    }
    let connected = builder::connect_quietly(&settings.build).await;
    if let Some(found) = connected
        .ok()
        .filter(|found| found.builder.docker().is_ok())
    {
        return Ok(Some(Docker::OfBuilder(Box::new(found.builder))));
    }
    let local = builder::local_docker().await?;
    Ok(Some(Docker::Local(Box::new(local))))
}

/// That somebody takes the image as a builder's would be taken: one that no output names stays where the
/// builder is, be that a Docker or not; and a Docker that takes or will pull it reads its layers.
///
/// # Errors
/// The reason, for people.
pub(in crate::build) async fn check(
    settings: &ImageSettings,
    plan: &BuildPlan,
) -> Result<(), String> {
    let found = match docker(settings, plan).await {
        Ok(Some(Docker::Local(_))) if !is_asked(plan, "docker") => {
            return Err("no output takes it out of the builder".to_owned());
        }
        Ok(found) => found,
        Err(_) => return Err("no Docker is here to take it".to_owned()),
    };
    let asked = plan.repack.map(|repack| repack.compression);
    if matches!(asked, Some(Compression::Gzip(_) | Compression::Estargz)) {
        return Ok(());
    }
    let found = match found {
        // The compression is nobody's choice: this machine's Docker has to be able to pull it.
        None if asked.is_none() => builder::connect_quietly(&settings.build)
            .await
            .ok()
            .map(|found| Docker::OfBuilder(Box::new(found.builder))),
        found => found,
    };
    check_reads_zstd(found.as_ref().and_then(|docker| docker.api().ok())).await
}

/// Docker reads zstd since 23.0, whose API has the version 1.42.
async fn check_reads_zstd(docker: Option<&DockerApi>) -> Result<(), String> {
    let Some(docker) = docker else {
        return Ok(());
    };
    let Ok(version) = docker.version().await else {
        return Ok(());
    };
    let minor = version.api_version.strip_prefix("1.");
    let minor: Option<u32> = minor.and_then(|minor| minor.parse().ok());
    match minor {
        Some(..42) => {
            let version = printable::line(&version.version).into_owned();
            Err(format!(
                "Docker {version} reads no layers that are packed with zstd"
            ))
        }
        _ => Ok(()),
    }
}

fn is_asked(plan: &BuildPlan, kind: &str) -> bool {
    let mut outputs = plan.outputs.iter();
    outputs.any(|output| output.kind == kind && output.dest.is_none())
}
