//! Which packages an image asks for, and how they are looked for inside its base.
//!
//! The looking itself is two scripts (`templates/data/resolve/`); who starts them, and keeps what
//! they find, is the caller's business.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Serialize, Serializer};

use super::apt::cache;
use super::compiled::name_of;
use super::inputs::Inputs;
use super::python::{deletions, python_cache};
use super::{Composer, Decision, SecretUse, env_name};
use crate::dockerfile::{
    Copy, Dockerfile, Instruction, Mount, Network, Purpose, RenderError, Run, Script, Word,
    shell_quote,
};
use crate::project::manifests::Asked;
use crate::spec::{Installer, PythonEnvironment};
use crate::tables::bases;

/// The named context with the inputs of a locked build.
pub const INPUTS_CONTEXT: &str = "mlbuild-inputs";
/// The named context with the question.
pub const REQUEST_CONTEXT: &str = "mlbuild-request";

/// Locks know a question by its text, in which these lines are commands of sed.
fn as_commands<S: Serializer>(
    omitted: &BTreeMap<String, Vec<(usize, usize)>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let commands = omitted.iter().map(|(file, lines)| (file, deletions(lines)));
    serializer.collect_map(commands)
}

/// What is asked for: the same for everybody who has the project.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PackageRequest {
    /// Packages of the distribution.
    pub apt: Vec<String>,
    /// Where Python packages go; `None` for an image without Python.
    pub environment: Option<PythonEnvironment>,
    /// The Python version that is asked for.
    pub python: Option<String>,
    /// Whether pip decides, which sees what the base's Python holds; else uv.
    pub by_pip: bool,
    /// Requirements files.
    pub requirements: Vec<String>,
    /// Packages besides.
    pub packages: Vec<String>,
    /// A `pylock.toml`.
    pub pylock: Option<String>,
    /// The folder of a `uv.lock`.
    pub project: Option<String>,
    /// Extras of that project.
    pub extras: Vec<String>,
    /// Dependency groups of that project.
    pub groups: Vec<String>,
    /// Files of the project that have to be looked at.
    pub files: BTreeSet<String>,
    /// `NAME==VERSION` lines of a project's own lock.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub constraints: Vec<String>,
    /// Lines of requirements files that the resolver must not see: the first and the last one of each run, from 1.
    #[serde(
        skip_serializing_if = "BTreeMap::is_empty",
        serialize_with = "as_commands"
    )]
    pub omitted: BTreeMap<String, Vec<(usize, usize)>>,
    /// What the project itself needs to be built.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub builders: Vec<String>,
    /// Packages whose builds import what they don't declare, for their metadata too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub open: Vec<String>,
    /// What these builds import, besides what they declare.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub open_needs: Vec<String>,
    /// Whether anything is known to be compiled: then a compiler is pinned, too.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub compiles: bool,
    /// Packages of the distribution that builds take, besides a compiler.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub build_apt: Vec<String>,
    /// Whether the best version of all indexes is taken, as pip does.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub best_of_indexes: bool,
    /// Packages of conda's channels, as lines of JSON.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conda: Vec<String>,
    /// PyTorch's index as the spec names it.
    pub torch_backend: Option<String>,
    /// The index that is used on this machine; its own package index may come first.
    #[serde(skip)]
    pub torch_backend_here: Option<String>,
    /// Every Python package that is asked for, and where.
    #[serde(skip)]
    pub asked: Vec<Asked>,
    /// Every package of the distribution that is asked for, and where.
    #[serde(skip)]
    pub asked_apt: Vec<Asked>,
}

impl PackageRequest {
    /// True where nothing has to be looked for.
    pub fn is_empty(&self) -> bool {
        self.apt.is_empty() && self.environment.is_none() && self.conda.is_empty()
    }

    /// The files of [`REQUEST_CONTEXT`], but for those of the project, which go below `files/`.
    /// `as_of` is a time as RFC 3339 has it, in UTC: what was offered later isn't looked at.
    pub fn question(&self, as_of: Option<&str>) -> Vec<(&'static str, String)> {
        let list = |values: &[String]| values.iter().map(|v| format!("{v}\n")).collect::<String>();
        let text = |value: &Option<String>| shell_quote(value.as_deref().unwrap_or_default());
        let environment = match self.environment {
            None => "",
            Some(PythonEnvironment::Venv) => "venv",
            Some(PythonEnvironment::Base) => "base",
        };
        let settings = [
            ("APT", shell_quote(&self.apt.join(" "))),
            ("ENVIRONMENT", shell_quote(environment)),
            ("PYTHON_VERSION", text(&self.python)),
            ("RESOLVER", if self.by_pip { "pip" } else { "uv" }.into()),
            ("PYLOCK", text(&self.pylock)),
            ("PROJECT", text(&self.project)),
            ("TORCH_BACKEND", text(&self.torch_backend_here)),
            ("UV_VERSION", shell_quote(&bases().uv)),
            ("AS_OF", shell_quote(as_of.unwrap_or_default())),
        ];
        let mut settings = settings
            .map(|(name, value)| format!("export {name}={value}\n"))
            .concat();
        if self.compiles {
            settings.push_str("export COMPILES=yes\n");
        }
        settings.push_str(&format!(
            "export BUILD_APT={}\n",
            shell_quote(&self.build_apt.join(" "))
        ));
        if self.best_of_indexes {
            settings.push_str("export INDEX_STRATEGY=unsafe-best-match\n");
        }
        let mut questions = Vec::new();
        if !self.conda.is_empty() {
            questions.push(("conda.request", list(&self.conda)));
            questions.push(("conda.py", super::conda::PROGRAM.to_owned()));
            questions.push(("rattler.txt", super::conda::rattler() + "\n"));
        }
        let omitted = self.omitted.iter();
        let omitted: Vec<String> = omitted
            .map(|(file, lines)| format!("{}\t{file}", deletions(lines)))
            .collect();
        questions.extend([
            (
                "resolve.sh",
                include_str!("../../data/resolve/resolve.sh").into(),
            ),
            (
                "resolve.py",
                include_str!("../../data/resolve/resolve.py").into(),
            ),
            ("libraries.sh", super::libraries::FUNCTIONS.into()),
            ("settings", settings),
            ("requirements", list(&self.requirements)),
            ("packages", list(&self.packages)),
            ("extras", list(&self.extras)),
            ("groups", list(&self.groups)),
            ("constraints", list(&self.constraints)),
            ("omitted", list(&omitted)),
            ("builders", list(&self.builders)),
            ("open", list(&self.open)),
            ("open_needs", list(&self.open_needs)),
            ("pure", list(crate::tables::compiled().pure())),
        ]);
        questions
    }
}

/// The stage of [`resolve_dockerfile`] that asks: no builder may answer it from its cache.
pub const RESOLVE_STAGE: &str = "mlbuild-resolve";

/// The Dockerfile that puts the question to a base, and gives the answer as files. The virtual
/// environment that pip runs in hangs on nothing but the base: it has a stage of its own, which
/// builders keep.
///
/// # Errors
/// Where the base can't be written into a Dockerfile.
pub fn resolve_dockerfile(
    base: &str,
    environment: Option<PythonEnvironment>,
) -> Result<String, RenderError> {
    let mut file = Dockerfile::default();
    let stage = RESOLVE_STAGE;
    file.push(Instruction::Arg {
        name: env_name("BASE_IMAGE"),
        default: Some(base.into()),
    });
    let mut from = Word::variable(env_name("BASE_IMAGE"));
    if environment == Some(PythonEnvironment::Venv) {
        let first = "mlbuild-venv";
        file.push(Instruction::From {
            image: from,
            alias: Some(first.into()),
        });
        file.push(Instruction::User("root".into()));
        let mut script = Script::strict();
        script.lines(
            r#"
umask 022;
rm -rf /mlbuild-venv;
if python3 -c 'import ensurepip, venv' > /dev/null 2>&1; then python3 -m venv /mlbuild-venv; fi;
"#,
        );
        file.push(Instruction::Run(Run {
            mounts: Vec::new(),
            network: Network::None,
            script: script.finish(),
            purpose: Purpose::Other,
        }));
        from = first.into();
    }
    file.push(Instruction::From {
        image: from,
        alias: Some(stage.into()),
    });
    file.push(Instruction::User("root".into()));
    let mut mounts = vec![
        bind(REQUEST_CONTEXT, None, "/mlbuild"),
        cache("/var/lib/apt/lists"),
        python_cache(),
    ];
    mounts.extend(SecretUse::ALL.map(|secret| Mount::Secret {
        id: secret.id().into(),
        for_all: false,
    }));
    let mut script = Script::strict();
    script.lines("sh /mlbuild/resolve.sh;");
    file.push(Instruction::Run(Run {
        mounts,
        network: Network::Default,
        script: script.finish(),
        purpose: Purpose::Other,
    }));
    file.push(Instruction::From {
        image: "scratch".into(),
        alias: None,
    });
    file.push(Instruction::Copy(Copy {
        from: Some(stage.into()),
        sources: vec!["/mlbuild-out".into()],
        destination: "/".into(),
        ..Copy::default()
    }));
    file.render()
}

pub(super) fn bind(from: &str, source: Option<&str>, target: &str) -> Mount {
    Mount::Bind {
        from: Some(from.into()),
        source: source.map(str::to_owned),
        target: target.into(),
    }
}

impl Composer<'_> {
    pub(super) fn request(&self, decision: &Decision, inputs: &Inputs) -> PackageRequest {
        let python = &self.spec.python;
        let apt = self.apt_packages(decision);
        let conda = self.conda_lines(decision, inputs);
        let Some(environment) = decision.environment else {
            return PackageRequest {
                apt,
                conda,
                asked_apt: self.asked_apt(inputs),
                ..PackageRequest::default()
            };
        };
        let locked = inputs.locked;
        let open = decision.compiled.packages.iter();
        // A project's own lock has their metadata.
        let open = open.filter(|package| package.is_open && !locked);
        let mut open: Vec<String> = open.map(|package| package.name.clone()).collect();
        open.sort();
        let mut packages = inputs.lines.clone();
        packages.extend(python.packages.iter().cloned());
        packages.extend(decision.additions.iter().cloned());
        PackageRequest {
            apt,
            environment: Some(environment),
            python: python.version.as_ref().map(ToString::to_string),
            by_pip: !locked
                && (decision.installer == Installer::Pip || environment == PythonEnvironment::Base),
            requirements: inputs.requirements.clone(),
            packages,
            pylock: python.pylock.as_ref().map(ToString::to_string),
            project: inputs.synced.clone(),
            extras: python.extras.clone(),
            groups: python.groups.clone(),
            files: self.input_files(inputs).into_iter().collect(),
            constraints: inputs.constraints.clone(),
            omitted: inputs.omitted.clone(),
            builders: self.builders(decision, inputs),
            open_needs: match open.as_slice() {
                [] => Vec::new(),
                _ => decision.compiled.needs.iter().cloned().collect(),
            },
            open,
            compiles: !decision.compiled.is_empty(),
            build_apt: decision.compiled.apt.iter().cloned().collect(),
            best_of_indexes: inputs.has_index,
            conda,
            torch_backend: python.torch_backend.as_ref().map(ToString::to_string),
            torch_backend_here: decision.torch_backend.as_ref().map(ToString::to_string),
            asked: super::origins::asked(inputs),
            asked_apt: self.asked_apt(inputs),
        }
    }

    /// What the projects need to be built, and what builds without isolation import besides the packages
    /// that are asked for.
    fn builders(&self, decision: &Decision, inputs: &Inputs) -> Vec<String> {
        let mut needs = self.local_builders(inputs);
        let others = decision.compiled.needs.iter().filter(|need| {
            let (name, _) = name_of(need);
            inputs.find(&name).is_none()
        });
        needs.extend(others.cloned());
        needs.sort();
        needs.dedup();
        needs
    }

    fn asked_apt(&self, inputs: &Inputs) -> Vec<Asked> {
        let asked = |text: &str, origin: &str| Asked {
            text: text.to_owned(),
            origin: origin.to_owned(),
        };
        let own = self.spec.apt.iter().map(|name| asked(name.as_str(), "apt"));
        let manifests = inputs.apt_origins.iter();
        own.chain(manifests.map(|(name, origin)| asked(name, origin)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hangs_on_the_base_alone_is_made_before_the_stage_that_asks() {
        let text = |environment| resolve_dockerfile("debian", environment).unwrap();
        let venv = text(Some(PythonEnvironment::Venv));
        let (kept, asked) = venv.split_once(" AS mlbuild-resolve").unwrap();
        assert!(kept.contains("python3 -m venv /mlbuild-venv"), "{kept}");
        assert!(kept.ends_with("FROM mlbuild-venv"), "{kept}");
        assert!(!kept.contains("--mount"), "{kept}");
        assert!(asked.contains("sh /mlbuild/resolve.sh"), "{asked}");
        for other in [None, Some(PythonEnvironment::Base)] {
            assert!(!text(other).contains("venv"), "{other:?}");
        }
    }
}
