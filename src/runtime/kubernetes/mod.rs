//! A [`RunSpec`] as a Kubernetes Job (`batch/v1`), or as an object of an operator ([`JobKind`]).
//!
//! Every flag of `docker run` is either in the Job, or named as left out: with a warning where
//! training doesn't notice, as refused where it would. Nothing here asks a cluster.

mod code;
mod flags;
mod grid;
mod idle;
mod job_builder;
mod job_kind;
mod names;
mod nodes;
mod operators;
mod placement;
mod quantity;
mod resources;
mod runai;
mod security;
mod submit_flags;
mod volumes;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    EnvVar, EnvVarSource, PodTemplateSpec, Secret, SecretKeySelector, Service,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

use self::job_builder::JobBuilder;
use self::operators::{Parts, Points};
use super::array::Array;
use super::distributed::{Distributed, names as variables};
use super::render::LeftOut;
use super::spec::RunSpec;
use super::value::Assignment;

pub(in crate::runtime) use quantity::bytes;

pub use code::{CODE_FOLDER, CodeArchive, MOST_CODE};
pub use grid::{ARRAY_ANNOTATION, Grid, ImageWords, run_of_all_points, run_of_each_point};
pub use job_kind::JobKind;
pub use names::{label_value, name_for, why_no_name};
pub use nodes::{INDEX_ANNOTATION, JOB_LABEL};
pub use runai::{RunaiCli, runai};
pub use submit_flags::{SUBMIT, SubmitFlags};

/// The label that says who made an object.
pub const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "mlbuild");
/// The label that holds the run's id.
pub const RUN_LABEL: &str = "mlbuild/run";
/// The annotation that holds the image as it was asked for.
pub const ASKED_ANNOTATION: &str = "mlbuild/asked-for";
/// The container that runs the image; a mesh or a logger may put others beside it.
pub const CONTAINER: &str = "main";
/// Where Kueue reads the queue.
pub const KUEUE_QUEUE: &str = "kueue.x-k8s.io/queue-name";
/// A Job whose end was to be removed is kept this long where nobody was there to remove it.
const KEPT_AFTER_END: i32 = 3600;

/// What can't stand in a flag of docker: the run, and the environment as it was read.
#[derive(Debug, Clone, Default)]
pub struct RunContext {
    /// The Job's name.
    pub name: String,
    /// The run's id.
    pub run: String,
    /// The image as it was asked for.
    pub asked: String,
    /// Variables, with their values.
    pub env: Vec<Assignment>,
    /// Variables whose values only the cluster's Secret may hold.
    pub secret: Vec<Assignment>,
    /// The code that goes with it.
    pub code: Option<CodeArchive>,
    /// The grid, where the Job is an array.
    pub grid: Option<Grid>,
}

/// A Job, what goes with it, and what isn't in it.
#[derive(Debug, Clone)]
pub struct RenderedJob {
    /// Of which kind it is.
    pub kind: JobKind,
    /// The Job's name.
    pub name: String,
    /// The Job, as the cluster takes it.
    pub job: Value,
    /// The Secret that its variables are read from, where there are any.
    pub secret: Option<Secret>,
    /// The Secrets that hold its code, where that goes with it.
    pub code: Vec<Secret>,
    /// The Service by which the pods of several nodes find one another.
    pub service: Option<Service>,
    /// What Kubernetes doesn't have, and training can do without.
    pub warnings: Vec<LeftOut>,
    /// What Kubernetes doesn't have, or has under conditions that aren't met.
    pub refused: Vec<LeftOut>,
}

impl RenderedJob {
    /// Of an array: the retries of each point become those of all of them together, for a cluster that doesn't know
    /// them apart.
    pub fn retry_all_together(&mut self) {
        if let Some(spec) = self.job["spec"].as_object_mut()
            && let Some(retries) = spec.remove("backoffLimitPerIndex")
        {
            spec.insert("backoffLimit".to_owned(), retries);
        }
    }
}

/// The Job that does what `docker run` would.
pub fn job(spec: &RunSpec, own: &SubmitFlags, context: &RunContext) -> RenderedJob {
    let mut builder = JobBuilder::default();
    if let Some(why) = why_no_name(&context.name) {
        builder.refuse("--name", why);
    }
    for setting in spec.options.iter() {
        flags::apply(&mut builder, setting);
    }
    own.apply(&mut builder);
    for variable in &context.env {
        builder.set_env(EnvVar {
            name: variable.name.clone(),
            value: variable.value.clone(),
            ..EnvVar::default()
        });
    }
    for variable in &context.secret {
        builder.set_env(from_secret(&variable.name, &context.name, &variable.name));
    }
    if !spec.command.is_empty() {
        builder.container.args = Some(spec.command.clone());
    }
    let kind = own.kind();
    let spread = nodes::spread(&mut builder, spec, own.options(), (kind, &context.name));
    let nodes = spread.map_or(1, |spread| spread.nodes);
    if let Some(grid) = &context.grid {
        grid::add(
            &mut builder,
            own.options(),
            (kind, &context.name, nodes),
            grid,
        );
    }
    placement::relate(&mut builder, (kind, &context.name), nodes);
    resources::check_slices(&mut builder);
    builder.container.image = Some(spec.image.clone());
    let labels = labels(context);
    builder.labels.extend(labels.clone());
    let annotations = BTreeMap::from([(ASKED_ANNOTATION.to_owned(), context.asked.clone())]);
    let axes = context.grid.iter().map(|grid| {
        let axes = json!(grid.array.texts()).to_string();
        (ARRAY_ANNOTATION.to_owned(), axes)
    });
    let meta = ObjectMeta {
        name: Some(context.name.clone()),
        namespace: own.namespace.clone(),
        labels: Some(labels),
        annotations: Some(annotations.clone().into_iter().chain(axes).collect()),
        ..ObjectMeta::default()
    };
    let secret = (!context.secret.is_empty()).then(|| Secret {
        metadata: ObjectMeta {
            annotations: None,
            ..meta.clone()
        },
        string_data: Some(
            context
                .secret
                .iter()
                .map(|v| (v.name.clone(), v.value.clone().unwrap_or_default()))
                .collect(),
        ),
        ..Secret::default()
    });
    builder.annotations.extend(annotations);
    if let Some(time) = own.options().text("idle-stop") {
        idle::stop(&mut builder, time, &own.forwarded_ports(), kind);
    }
    let code = match (&context.code, own.code_folder()) {
        (Some(archive), Some(folder)) => code::add(&mut builder, archive, folder, &meta),
        _ => Vec::new(),
    };
    let array = context.grid.as_ref().map(|grid| &grid.array);
    let mut rendered = finish(builder, meta, secret, (kind, spread, array));
    rendered.code = code;
    rendered
}

fn finish(
    mut builder: JobBuilder,
    mut meta: ObjectMeta,
    secret: Option<Secret>,
    (kind, spread, array): (JobKind, Option<Distributed>, Option<&Array>),
) -> RenderedJob {
    let nodes = spread.map_or(1, |spread| spread.nodes);
    let name = meta.name.clone().unwrap_or_default();
    // Operators make one of their own.
    let service = (kind == JobKind::Job && nodes > 1).then(|| nodes::service(&meta));
    builder.pod.subdomain = service
        .as_ref()
        .and_then(|service| service.metadata.name.clone());
    if let Some(queue) = builder.queue.take() {
        let labels = meta.labels.get_or_insert_default();
        labels.insert(KUEUE_QUEUE.to_owned(), queue);
    }
    let kept = builder.kept.and_then(|seconds| i32::try_from(seconds).ok());
    let kept = kept.or(builder.remove.then_some(KEPT_AFTER_END));
    let (retries, time_limit) = (builder.retries, builder.time_limit);
    let port = builder.env(variables::MASTER_PORT);
    let port = port.and_then(|text| text.parse().ok());
    let home = builder.env("HOME").map(str::to_owned);
    let is_user = builder.security.run_as_user.is_some_and(|user| user != 0);
    let (warnings, refused) = (
        std::mem::take(&mut builder.warnings),
        std::mem::take(&mut builder.refused),
    );
    let template_meta = ObjectMeta {
        labels: Some(std::mem::take(&mut builder.labels)),
        annotations: Some(std::mem::take(&mut builder.annotations)),
        ..ObjectMeta::default()
    };
    let template = PodTemplateSpec {
        metadata: Some(template_meta),
        spec: Some(builder.pod_spec()),
    };
    let parts = Parts {
        meta,
        template,
        nodes,
        points: array.map(Points::of),
        processes: spread.map(|spread| spread.processes),
        retries,
        time_limit,
        kept,
        port,
        home,
        is_user,
    };
    RenderedJob {
        kind,
        name,
        job: operators::object(kind, parts),
        secret,
        code: Vec::new(),
        service,
        warnings,
        refused,
    }
}

fn labels(context: &RunContext) -> BTreeMap<String, String> {
    let (key, value) = MANAGED_BY;
    BTreeMap::from([
        (key.to_owned(), value.to_owned()),
        (RUN_LABEL.to_owned(), label_value(&context.run)),
    ])
}

/// A variable whose value a Secret holds.
fn from_secret(variable: &str, secret: &str, key: &str) -> EnvVar {
    EnvVar {
        name: variable.to_owned(),
        value_from: Some(EnvVarSource {
            secret_key_ref: Some(SecretKeySelector {
                name: secret.to_owned(),
                key: key.to_owned(),
                optional: None,
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    }
}

#[cfg(test)]
pub(in crate::runtime) mod tests;
