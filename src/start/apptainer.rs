//! A run in Apptainer: the image is a file of the cache, made without it, and the container a process of the
//! user's.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

use crate::pull::cache::{self, KeptSif};
use crate::records::this_host;
use crate::registry::{Registry, RegistryOptions, parse_platform, platform_name};
use crate::reporter::Reporter;
use crate::runtime::apptainer::{self, ApptainerLine, Place, VARIABLE};
use crate::runtime::slurm::ImageDefaults;
use crate::runtime::{Options, RunSpec, RuntimeCli, assignments};

use super::child::Launch;
use super::error::StartError;
use super::image::PinnedImage;
use super::{Start, refuse_left_out, unsupported};

mod signals;

/// What the older program of that name reads.
const OLDER_VARIABLE: &str = "SINGULARITYENV_";
/// Variables by which Apptainer gives a container more than its line says.
const HABITS: [&str; 6] = [
    "APPTAINER_BIND",
    "APPTAINER_BINDPATH",
    "APPTAINER_MOUNT",
    "SINGULARITY_BIND",
    "SINGULARITY_BINDPATH",
    "SINGULARITY_MOUNT",
];

/// The image by digest, and its file.
///
/// # Errors
/// Where the image can't be had, or its file can't be made.
pub(super) async fn pin(
    spec: &RunSpec,
    registry: Option<&RegistryOptions>,
    reporter: &dyn Reporter,
) -> Result<PinnedImage, StartError> {
    let registry = Registry::new(registry.cloned().unwrap_or_default());
    let asked = &spec.image;
    let pull = spec.options.text("pull");
    let platform = spec.options.text("platform").and_then(parse_platform);
    let name = platform
        .as_ref()
        .map_or_else(|| this_host().platform, platform_name);
    let is_exact = asked.contains('@');
    let never = || StartError::NeverPulled {
        image: asked.clone(),
        runtime: RuntimeCli::Apptainer,
    };
    if pull == Some("never") && !is_exact {
        return Err(never());
    }
    let image = cache::resolve(asked, name.clone(), &registry).await?;
    let sif = match pull {
        Some("never") => cache::find(&image).ok_or_else(never)?,
        _ => cache::get(&image, &registry, reporter).await?,
    };
    Ok(PinnedImage {
        asked: asked.clone(),
        start: image.pinned.clone(),
        pinned: image.pinned,
        platform: parse_platform(&name),
        registry_may_tell: pull != Some("never"),
        env: sif.config.env.clone().unwrap_or_default(),
        sif: Some(sif),
    })
}

/// Refuses what Apptainer doesn't have, and names what programs can do without.
///
/// # Errors
/// Where it lacks what was asked for, or what is to be mounted isn't there.
pub(super) fn check(
    spec: &RunSpec,
    image: &PinnedImage,
    reporter: &dyn Reporter,
) -> Result<(), StartError> {
    refuse_left_out(&line(spec, image, None)?.refused)?;
    for (flag, source) in spec.bind_sources() {
        if !Path::new(source).exists() {
            return Err(StartError::NoSource {
                flag,
                source_path: source.to_owned(),
            });
        }
    }
    unsupported::warn(&apptainer::warnings(spec), reporter);
    if let Some(user) = other_user(image).filter(|_| !spec.options.has("user")) {
        reporter.note(format!(
            "the image's user is {user}; Apptainer runs programs as you"
        ));
    }
    for name in HABITS
        .into_iter()
        .filter(|name| std::env::var_os(name).is_some())
    {
        reporter.note(format!(
            "{name} isn't used: what the container gets stands in the run's record; -v FOLDER:DIR mounts one"
        ));
    }
    Ok(())
}

/// The image's user, where that isn't this one or root.
fn other_user(image: &PinnedImage) -> Option<String> {
    let user = image.sif.as_ref()?.config.user.clone()?;
    let name = user.split(':').next().unwrap_or_default();
    let own = rustix::process::geteuid().as_raw().to_string();
    let is_known = matches!(name, "" | "root" | "0")
        || name == own
        || std::env::var("USER").is_ok_and(|own| own == name);
    (!is_known).then(|| user.clone())
}

/// Apptainer's program, and what it is started with.
///
/// # Errors
/// Where it lacks what was asked for, or a file of variables can't be read.
pub(super) fn launch(start: &Start<'_>, whole: &RunSpec) -> Result<Launch, StartError> {
    let folder = tempfile::Builder::new().prefix("run").tempdir();
    let folder = folder.map_err(|source| StartError::File {
        path: tempfile::env::temp_dir(),
        source,
    })?;
    let line = line(whole, &start.image, Some(folder.path()))?;
    refuse_left_out(&line.refused)?;
    let mut values = Vec::new();
    for variable in line.variables {
        let value = variable
            .value
            .or_else(|| std::env::var(&variable.name).ok());
        values.extend(value.map(|value| (variable.name, value)));
    }
    let secrets = start.secrets.iter();
    values.extend(secrets.map(|(name, value)| ((*name).to_owned(), value.clone())));
    let program = start.runtime.program.clone();
    let is_older = program
        .file_name()
        .is_some_and(|name| name == "singularity");
    let prefixes = [Some(VARIABLE), is_older.then_some(OLDER_VARIABLE)];
    let named = |(name, value): (String, String)| {
        let all = prefixes.into_iter().flatten();
        all.map(move |prefix| (format!("{prefix}{name}"), value.clone()))
            .collect::<Vec<_>>()
    };
    Ok(Launch {
        program,
        args: line.args,
        environment: values.into_iter().flat_map(named).collect(),
        without: habits(),
        closes_stdin: !line.reads_stdin,
        heard_by: Some(signals::heard_by),
        folder: Some(folder),
        detached: false,
    })
}

/// Variables of this process that would change what the container gets.
pub(super) fn habits() -> Vec<OsString> {
    let is_habit = |name: &OsString| {
        let name = name.to_string_lossy();
        HABITS.contains(&name.as_ref())
            || name.starts_with(VARIABLE)
            || name.starts_with(OLDER_VARIABLE)
    };
    std::env::vars_os()
        .map(|(name, _)| name)
        .filter(is_habit)
        .collect()
}

/// The words that start one program in the image for a look, without network and without a way to write.
pub(super) fn look(image: &PinnedImage, program: &[&str]) -> Option<Vec<String>> {
    let words = ["--network=none", "--read-only", "--entrypoint=", "image"];
    let mut spec = crate::runtime::parse(&words).ok()?.spec;
    spec.command = program.iter().map(|word| (*word).to_owned()).collect();
    let line = line(&spec, image, None).ok()?;
    line.refused.is_empty().then_some(line.args)
}

fn line(
    spec: &RunSpec,
    image: &PinnedImage,
    folder: Option<&Path>,
) -> Result<ApptainerLine, StartError> {
    let sif = image.sif.as_ref().expect("it was pinned for Apptainer");
    let whole = with_files(spec)?;
    let place = Place {
        image: &sif.path.to_string_lossy(),
        defaults: &defaults(sif),
        folder,
    };
    Ok(apptainer::exec(&whole, place))
}

/// The variables of files among those that are set one by one, which go first.
fn with_files(spec: &RunSpec) -> Result<RunSpec, StartError> {
    let mut of_files = Options::default();
    for file in spec.options.all("env-file") {
        let path = file.to_string();
        let text = std::fs::read_to_string(&path).map_err(|source| StartError::File {
            path: path.clone().into(),
            source,
        })?;
        let found = assignments(&text).map_err(|(line, why)| StartError::EnvFileLine {
            path,
            line,
            why,
        })?;
        for variable in found {
            of_files.add("env", &variable.to_string());
        }
    }
    Ok(RunSpec {
        options: spec.options.clone().over(of_files),
        ..spec.clone()
    })
}

fn defaults(sif: &Arc<KeptSif>) -> ImageDefaults {
    let config = &sif.config;
    let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    ImageDefaults {
        entrypoint: config.entrypoint.clone().unwrap_or_default(),
        command: config.cmd.clone().unwrap_or_default(),
        workdir: text(&config.working_dir),
        user: text(&config.user),
    }
}
