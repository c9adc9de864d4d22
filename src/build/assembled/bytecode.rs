//! Bytecode of packages: their modules are compiled by the base's own Python, in a step of a builder that
//! has no network and nothing but those modules.

use std::borrow::Cow;

use mlbuild_buildkit::Feature;
use mlbuild_buildkit::fsutil::ReceivedFolder;
use mlbuild_templates::compose::{COMPILE, MODULES_CONTEXT, bytecode_dockerfile};
use mlbuild_wheels::LayerStore;

use super::Assembling;
use crate::assemble::{BaseFacts, Uncompiled};
use crate::assembly::{Assembly, PREFIX};
use crate::build::{BuildError, repack};
use crate::builder::{self, Builder, SolveRequest};
use crate::host::HostSettings;
use crate::known_base;
use crate::plan::{BuildPlan, Context};

/// Bytes that the answer about one wheel may have.
const MOST_ANSWER: u64 = 4 << 30;

impl Assembling<'_> {
    /// Has modules compiled, and keeps the bytecode; or says why there is none.
    ///
    /// # Errors
    /// A wheel that can't be read, a full disk, and being cancelled.
    pub(super) async fn compile(
        &self,
        builder: &Builder,
        assembly: &Assembly,
        uncompiled: &Uncompiled<'_>,
        store: &LayerStore,
    ) -> Result<Result<(), String>, BuildError> {
        if let Some(why) = builder.info().missing(Feature::NamedContexts) {
            return Ok(Err(why));
        }
        let Some(base) = self.locked.base.as_deref() else {
            return Ok(Err("its base isn't pinned".to_owned()));
        };
        let (platform, facts) = self.compiling_base(builder, &assembly.facts).await?;
        let (question, answer) = (repack::work_folder()?, repack::work_folder()?);
        let script = question.path().join("compile.py");
        std::fs::write(&script, COMPILE).map_err(BuildError::write(&script))?;
        let given = tokio::task::block_in_place(|| uncompiled.write(question.path()))?;
        let python = &facts.venv.executable;
        let text = match bytecode_dockerfile(base, python, PREFIX) {
            Ok(text) => text,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let folder = question.path().to_owned();
        let context = [(MODULES_CONTEXT.to_owned(), Context::Folder { path: folder })];
        let plan = BuildPlan {
            named_contexts: context.into(),
            platforms: vec![platform],
            run: self.locked.plan.run.clone(),
            asked: self.locked.plan.asked.clone(),
            ..BuildPlan::of_dockerfile("the packages' bytecode", text)
        };
        let nothing = HostSettings::default();
        let request = SolveRequest {
            plan: &plan,
            transfer_key: "",
            host: &nothing,
            ssh: &Default::default(),
            insecure: &self.settings.insecure,
            asks_packages: false,
            cancel: self.reporter.cancellation(),
        };
        self.reporter.note(format!(
            "compiling the modules of {} packages with the base's Python {}",
            uncompiled.len(),
            facts.venv.version
        ));
        let into = answer.path();
        let solved = request
            .solve(self.reporter, builder::untitled(), |inputs, _| async move {
                Ok::<_, BuildError>(builder.files(&inputs, into).await?)
            })
            .await;
        match solved {
            Ok(_) => {}
            Err(error) if self.reporter.cancellation().is_cancelled() => return Err(error),
            Err(error) => {
                return Ok(Err(format!(
                    "the base's Python didn't compile them: {error}"
                )));
            }
        }
        let received = ReceivedFolder::open(into).map_err(BuildError::WorkFolder)?;
        let kept = tokio::task::block_in_place(|| {
            given.keep(|name| received.file(name, MOST_ANSWER), store)
        });
        Ok(kept)
    }

    /// The platform whose Python compiles: the image's own where the builder runs its programs by itself;
    /// else the builder's, where the base is there for that too with the same version. Bytecode doesn't
    /// depend on the machine. Where it isn't there, the builder may emulate the image's own.
    async fn compiling_base<'b>(
        &self,
        builder: &Builder,
        own: &'b BaseFacts,
    ) -> Result<(String, Cow<'b, BaseFacts>), BuildError> {
        let platform = self.locked.platform.clone();
        let native = builder.native_platform();
        let Some(native) = native.filter(|native| *native != platform) else {
            return Ok((platform, Cow::Borrowed(own)));
        };
        let pins = &self.locked.plan.bases;
        let found = known_base::look_up_kept(self.registry, pins, native).await?;
        let Some(base) = found.first() else {
            return Ok((platform, Cow::Borrowed(own)));
        };
        match base.facts(self.registry).await? {
            Ok(facts) if facts.venv.version == own.venv.version => {
                Ok((native.to_owned(), Cow::Owned(facts)))
            }
            _ => Ok((platform, Cow::Borrowed(own))),
        }
    }
}
