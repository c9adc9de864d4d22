//! The way of an image whose final bytes mlbuild writes.

use mlbuild_progress::LocalSteps;
use oci_spec::distribution::Reference;

use super::BuildError;
use super::job::Job;
use super::repack::{self, Purpose};
use crate::builder::{self, BuildInputs, BuildOutput, Builder, BuilderError};
use crate::plan::{BuildPlan, Output, Repack};

/// Builds, packs, and takes the image to where the plan wants it. `before`: the image that was there before
/// it, with its digest.
pub(super) async fn build(
    job: &Job<'_>,
    builder: &Builder,
    inputs: &BuildInputs<'_>,
    repack: Repack,
    before: Option<&Reference>,
    steps: &LocalSteps,
) -> Result<BuildOutput, BuildError> {
    let (plan, registry) = (inputs.plan, job.registry);
    let push = job.settings.build.push;
    let stays = |out: &Output| match out.kind.as_str() {
        "image" => !push,
        kind => kind == "oci" || (kind == "docker" && out.dest.is_none()),
    };
    let purpose = if push && !plan.outputs.iter().any(stays) {
        Purpose::Pushing(&job.settings.tags)
    } else {
        Purpose::Keeping
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
                elsewhere.docker().ok_or(BuilderError::NoDocker)?
            }
        };
        output.docker_id = packed.load(registry, docker, &plan.tags, steps).await?;
    }
    if push {
        let tags = &job.settings.tags;
        packed.push(registry, tags, before, steps).await?;
        packed.remember(repack, &job.settings.tags);
    }
    Ok(output)
}
