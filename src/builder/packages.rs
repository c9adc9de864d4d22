//! Which packages an image holds: asked of the image itself, in a step after its last.
//!
//! The step is no part of the image. It is asked in the build of the image, where something is
//! built; else in one of its own, on the builder's cached result.

use mlbuild_buildkit::{Answers, Question};
use mlbuild_manifests::lock::{AptPackage, LockedPackages, PythonPackage};

use crate::pin;
use crate::plan::{BuildPlan, NoCache};

const STAGE: &str = "mlbuild-packages";
const FOLDER: &str = "/mlbuild-packages";
/// Largest list that the step leaves, in bytes.
pub(super) const MAX_LIST: u64 = 16 << 20;
/// The files that the step leaves.
const FILES: [&str; 2] = ["apt", "python"];

/// Asks dpkg and every usual Python; silent where there is none.
const SCRIPT: &str = r#"mkdir -p /mlbuild-packages
if command -v dpkg-query >/dev/null 2>&1; then
  dpkg-query -W -f='${Package}\t${Version}\t${Architecture}\n' > /mlbuild-packages/apt
fi
for python in /opt/venv/bin/python python3 python; do
  if command -v "$python" >/dev/null 2>&1; then
    "$python" -c 'import importlib.metadata as m, re
print("\n".join(sorted({re.sub("[-_.]+", "-", d.metadata["Name"]).lower() + "\t" + d.version for d in m.distributions() if d.metadata["Name"]})))' > /mlbuild-packages/python && break
  fi
done
exit 0
"#;

/// The Dockerfile with the step; `None` where there is no text to add it to, or more than one image.
fn dockerfile(plan: &BuildPlan) -> Option<String> {
    if plan.dockerfile.text.is_empty() || plan.platforms.len() > 1 {
        return None;
    }
    let (text, last) = pin::name_last_stage(&plan.dockerfile.text)?;
    let stage = plan.target.clone().unwrap_or(last);
    let script = serde_json::to_string(&["/bin/sh", "-c", SCRIPT]).ok()?;
    Some(format!(
        "{}\n\nFROM {stage} AS {STAGE}-run\nUSER 0:0\nRUN --network=none {script}\n\n\
         FROM scratch AS {STAGE}\nCOPY --from={STAGE}-run {FOLDER} /\n",
        text.trim_end()
    ))
}

/// A plan of its own for the step.
pub(super) fn plan(plan: &BuildPlan) -> Option<BuildPlan> {
    let mut asked = plan.clone();
    asked.dockerfile.text = dockerfile(plan)?;
    asked.target = Some(STAGE.to_owned());
    // The image was just built: its steps are in the cache.
    asked.no_cache = NoCache::Off;
    asked.cache_to.clear();
    asked.attestations.clear();
    asked.annotations.clear();
    asked.outputs.clear();
    Some(asked)
}

/// The step as a question in the build of the plan: the name and text of its Dockerfile, and the
/// rest. `None` where it has to be asked on its own.
pub(super) fn question(plan: &BuildPlan) -> Option<(String, String, Question)> {
    if plan.attestations.values().any(Option::is_some) {
        return None;
    }
    let name = format!("{STAGE}.Dockerfile");
    let attrs = [("filename", name.as_str()), ("target", STAGE)];
    let question = Question {
        frontend_attrs: attrs
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
        files: FILES.map(|file| format!("/{file}")).into(),
        mark: STAGE.to_owned(),
    };
    Some((name, dockerfile(plan)?, question))
}

/// What was answered in the build.
pub(super) fn answered(answers: &Answers) -> Option<LockedPackages> {
    read(|file| {
        let content = answers.get(&format!("/{file}"))?;
        Some(String::from_utf8_lossy(content).into_owned())
    })
}

/// What the step wrote into its files; `None` if it found nothing.
pub(super) fn read(file: impl Fn(&str) -> Option<String>) -> Option<LockedPackages> {
    let [apt, python] = FILES.map(|name| file(name).unwrap_or_default());
    let mut packages = LockedPackages::default();
    for line in apt.lines() {
        if let [name, version, arch] = line.split('\t').collect::<Vec<_>>()[..] {
            packages.apt.push(AptPackage {
                name: name.to_owned(),
                version: version.to_owned(),
                arch: arch.to_owned(),
                sha256: None,
                size: None,
            });
        }
    }
    for line in python.lines() {
        if let Some((name, version)) = line.split_once('\t') {
            packages.python.push(PythonPackage {
                name: name.to_owned(),
                version: version.to_owned(),
                file: None,
                sha256: None,
                size: None,
            });
        }
    }
    let empty = packages.apt.is_empty() && packages.python.is_empty();
    (!empty).then_some(packages)
}
