//! Putting a question to a base image on a builder: which packages, or where are these.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use mlbuild_buildkit::Feature;
use mlbuild_secrets::redact;
use mlbuild_templates::compose::{REQUEST_CONTEXT, RESOLVE_STAGE, resolve_dockerfile};
use mlbuild_templates::{PackageRequest, SecretUse};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::LockingError;
use crate::builder::{self, Builder, SolveRequest};
use crate::host::HostSettings;
use crate::plan::{BuildPlan, Context, HostSetting, NoCache, SecretSource};
use crate::planning::compose::secret_source;
use crate::planning::locked::files;
use crate::planning::{PlanningError, build_plan};
use crate::reporter::Reporter;
use crate::settings::ImageSettings;

/// Who is asked, and about what.
pub struct Question<'a> {
    /// Settings of the image.
    pub settings: &'a ImageSettings,
    /// The host's network, for this one step.
    pub host: &'a HostSettings,
    /// The packages that are asked for.
    pub request: &'a PackageRequest,
    /// The base image, with its digest.
    pub base: &'a str,
    /// The platform.
    pub platform: &'a str,
    /// The time as of which it is asked.
    pub as_of: Option<Timestamp>,
    /// Takes the progress.
    pub reporter: &'a dyn Reporter,
}

impl Question<'_> {
    /// Asks; `more` are further files of the question. The answer is a folder.
    ///
    /// # Errors
    /// Where the builder can't, or a package can't be had.
    pub async fn ask(
        &self,
        builder: &Builder,
        more: &[(&str, Vec<u8>)],
    ) -> Result<TempDir, LockingError> {
        if let Some(why) = builder.info().missing(Feature::NamedContexts) {
            return Err(LockingError::CannotMount { why });
        }
        let question = self.written(more)?;
        let answer = temporary()?;
        let plan = self.plan(question.path())?;
        let path = answer.path();
        let request = SolveRequest {
            plan: &plan,
            transfer_key: "",
            host: self.host,
            ssh: &Default::default(),
            insecure: &self.settings.insecure,
            asks_packages: false,
            cancel: self.reporter.cancellation(),
        };
        request
            .solve(self.reporter, builder::untitled(), |inputs, _| async move {
                Ok::<_, LockingError>(builder.files(&inputs, path).await?)
            })
            .await?;
        Ok(answer)
    }

    /// Names everything that the answer depends on, but for what the indexes offer at the time: base,
    /// packages, the project's files that name them, platform, time, network and indexes. Which builder
    /// passes the question on is no part of it, nor are log-ins of indexes, which change by the hour.
    ///
    /// # Errors
    /// Where a file of the project can't be read.
    pub fn digest(&self) -> Result<String, LockingError> {
        let build = &self.settings.build;
        let dockerfile = resolve_dockerfile(self.base, self.request.environment)?;
        let as_of = self.as_of.map(|time| time.to_string());
        let indexes = [HostSetting::PipConfig, HostSetting::UvConfig].map(|setting| {
            let file = self.host.files.get(&setting)?;
            Some(redact(&String::from_utf8_lossy(&file.0)).into_owned())
        });
        let lists = [&build.apt_sources, &build.apt_snapshots];
        let lists = lists.into_iter().flatten().map(|name| {
            let path = self.settings.project.join(name);
            let content = mlbuild_files::read(&path);
            content.map_err(|source| PlanningError::File { path, source })
        });
        let lists: Vec<Vec<u8>> = lists.collect::<Result<_, _>>()?;
        let question = json!({
            "dockerfile": dockerfile,
            "platform": self.platform,
            "run": build.run,
            "question": self.request.question(as_of.as_deref()),
            "files": files(self.settings, self.request)?,
            "indexes": indexes,
            "lists": lists,
        });
        Ok(hex::encode(Sha256::digest(question.to_string())))
    }

    /// The question as files.
    fn written(&self, more: &[(&str, Vec<u8>)]) -> Result<TempDir, LockingError> {
        let folder = temporary()?;
        let write = |name: &str, content: &[u8]| {
            let path = folder.path().join(name);
            let parent = path.parent().unwrap_or(folder.path());
            std::fs::create_dir_all(parent)
                .and_then(|()| std::fs::write(&path, content))
                .map_err(|source| LockingError::Write { path, source })
        };
        write("files/.keep", b"")?;
        for (name, content) in files(self.settings, self.request)? {
            write(&format!("files/{name}"), &content)?;
        }
        let as_of = self.as_of.map(|time| time.to_string());
        for (name, text) in self.request.question(as_of.as_deref()) {
            write(name, text.as_bytes())?;
        }
        for (name, content) in more {
            write(name, content)?;
        }
        // A step that is not taken from the cache still has a cache's key, and what follows it is taken
        // from there: so every question is another one.
        write("asked", folder.path().as_os_str().as_encoded_bytes())?;
        Ok(folder)
    }

    fn plan(&self, question: &Path) -> Result<BuildPlan, LockingError> {
        let build = &self.settings.build;
        let text = resolve_dockerfile(self.base, self.request.environment)?;
        let context = Context::Folder {
            path: question.to_owned(),
        };
        let mut secrets: BTreeMap<String, SecretSource> = SecretUse::ALL
            .into_iter()
            .filter_map(|used| Some((used.id().to_owned(), secret_source(self.settings, used)?)))
            .collect();
        if let (Some(_), Some(list)) = (self.as_of, &build.apt_snapshots) {
            let list = SecretSource::File(self.settings.project.join(list));
            secrets.insert(SecretUse::AptSources.id().to_owned(), list);
        }
        Ok(BuildPlan {
            named_contexts: [(REQUEST_CONTEXT.to_owned(), context)].into(),
            platforms: vec![self.platform.to_owned()],
            run: build.run.clone(),
            entitlements: build.entitlements.clone(),
            // What an index offers moves.
            no_cache: NoCache::Stages(vec![RESOLVE_STAGE.to_owned()]),
            secrets,
            asked: build_plan::asked(self.settings, Some(self.request)),
            ..BuildPlan::of_dockerfile("the search for packages", text)
        })
    }
}

fn temporary() -> Result<TempDir, LockingError> {
    tempfile::tempdir().map_err(LockingError::TemporaryFolder)
}
