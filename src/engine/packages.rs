//! Which packages an image holds: asked of the image itself, in a step after its last.
//!
//! The step is no part of the image; it runs on the builder's cached result.

use std::path::Path;

use mlbuild_manifests::lock::{AptPackage, LockedPackages, PythonPackage};

use crate::pin;
use crate::plan::{BuildPlan, NoCache};

const STAGE: &str = "mlbuild-packages";
const FOLDER: &str = "/mlbuild-packages";

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

/// The plan with the step; `None` where there is no text to add it to, or more than one image.
pub(super) fn plan(plan: &BuildPlan) -> Option<BuildPlan> {
    if plan.dockerfile.text.is_empty() || plan.platforms.len() > 1 {
        return None;
    }
    let (text, last) = pin::name_last_stage(&plan.dockerfile.text)?;
    let stage = plan.target.clone().unwrap_or(last);
    let script = serde_json::to_string(&["/bin/sh", "-c", SCRIPT]).ok()?;
    let mut asked = plan.clone();
    asked.dockerfile.text = format!(
        "{}\n\nFROM {stage} AS {STAGE}-run\nUSER 0:0\nRUN --network=none {script}\n\n\
         FROM scratch AS {STAGE}\nCOPY --from={STAGE}-run {FOLDER} /\n",
        text.trim_end()
    );
    asked.target = Some(STAGE.to_owned());
    // The image was just built: its steps are in the cache.
    asked.no_cache = NoCache::Off;
    asked.cache_to.clear();
    asked.attestations.clear();
    asked.annotations.clear();
    asked.outputs.clear();
    Some(asked)
}

/// What the step wrote; `None` if it found nothing.
pub(super) fn read(folder: &Path) -> Option<LockedPackages> {
    let lines = |file: &str| std::fs::read_to_string(folder.join(file)).unwrap_or_default();
    let mut packages = LockedPackages::default();
    for line in lines("apt").lines() {
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
    for line in lines("python").lines() {
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
