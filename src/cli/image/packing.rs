//! The way of an image whose final bytes mlbuild writes.

use mlbuild_progress::LocalSteps;

use super::Job;
use crate::builder::{self, BuildError, BuildInputs, BuildOutput, Builder};
use crate::cli::repack::{self, Purpose};
use crate::error::{CommandError, CommandResult};
use crate::plan::{BuildPlan, Context, Output, Repack};
use crate::records::Git;
use crate::settings::ImageSettings;

/// How the final bytes are written, where the user asks for it.
///
/// # Errors
/// Where no time can be found that all others are held to, or the builder is asked for what only
/// it could write.
pub fn repack(settings: &ImageSettings) -> CommandResult<Option<Repack>> {
    let build = &settings.build;
    let Some(compression) = build.repack else {
        return Ok(None);
    };
    if let Some((name, _)) = build.attestations.iter().find(|(_, value)| value.is_some()) {
        return Err(CommandError::user(format!(
            "--repack: the builder's {name} attestation would be about another image"
        ))
        .hint("leave it out: --provenance=false --sbom=false"));
    }
    let given = build.image.iter().flatten();
    let builders_own = |name: &str| name != "push" && !name.starts_with("annotation.");
    if let Some((name, _)) = given.clone().find(|(name, _)| builders_own(name)) {
        return Err(CommandError::user(format!(
            "--repack: the builder's `{name}` has no part in the image's final bytes"
        ))
        .hint("say how layers are compressed with --repack=zstd:LEVEL or --repack=gzip:LEVEL"));
    }
    let epoch = match build.source_date_epoch {
        Some(epoch) => epoch,
        None => commit_time(&settings.context).ok_or_else(|| {
            CommandError::user("--repack needs a time to hold all others to")
                .hint("build from a git commit, whose time is taken")
                .hint("or set it: SOURCE_DATE_EPOCH=$(date +%s)")
        })?,
    };
    Ok(Some(Repack { epoch, compression }))
}

/// When the folder's commit was made, in seconds since 1970-01-01.
fn commit_time(context: &Context) -> Option<i64> {
    let Context::Folder { path } = context else {
        return None;
    };
    let time = Git::at(path).text(&["log", "-1", "--format=%ct"]).ok()?;
    time.trim().parse().ok()
}

/// Builds, packs, and takes the image to where the plan wants it.
pub(super) async fn build(
    job: &Job<'_>,
    builder: &Builder,
    inputs: &BuildInputs<'_>,
    repack: Repack,
    steps: &LocalSteps,
) -> Result<BuildOutput, BuildError> {
    let (plan, registry) = (inputs.plan, job.registry);
    let push = job.settings.build.push;
    let stays = |out: &Output| match out.kind.as_str() {
        "image" => !push,
        kind => kind == "oci" || (kind == "docker" && out.dest.is_none()),
    };
    let purpose = match push && !plan.outputs.iter().any(stays) {
        true => Purpose::Pushing(&job.settings.tags),
        false => Purpose::Keeping,
    };
    let built = repack::build(builder, inputs, registry, repack, purpose, steps).await;
    let (mut output, packed) = built?;
    let ours = |out: &Output| match out.kind.as_str() {
        "image" | "oci" => true,
        kind => kind == "docker" && out.dest.is_none(),
    };
    // Files of the image are what they are: the builder gives them.
    let mut rest: BuildPlan = plan.clone();
    rest.outputs.retain(|out| !ours(out));
    if !rest.outputs.is_empty() {
        let inputs = BuildInputs {
            plan: &rest,
            ..inputs.clone()
        };
        builder.build(&inputs).await?;
    }
    for out in plan.outputs.iter().filter(|out| out.kind == "oci") {
        packed.write(registry, &plan.tags, out)?;
    }
    let is_asked = |kind: &str| {
        plan.outputs
            .iter()
            .any(|o| o.kind == kind && o.dest.is_none())
    };
    // Nothing asked for means Docker's own store, where there is one.
    if is_asked("docker") || (is_asked("image") && !push && builder.docker().is_ok()) {
        let elsewhere;
        let docker = match builder.docker() {
            Ok(docker) => docker,
            Err(_) => {
                elsewhere = builder::local_docker().await?;
                let none = || CommandError::environment("no Docker daemon to load into");
                elsewhere.docker().ok_or_else(none)?
            }
        };
        output.docker_id = packed.load(registry, docker, &plan.tags, steps).await?;
    }
    if push {
        packed.push(registry, &job.settings.tags, steps).await?;
        packed.remember(repack, &job.settings.tags);
    }
    Ok(output)
}
