//! `pyproject.toml` without a `uv.lock`: whose tables it has decides who reads it.

use std::path::Path;

use super::indexes::Indexes;
use super::{
    Choice, Manifest, Unused, UnusedKind, folder_of, pdm, pep621, pixi, poetry, setup, strings,
    text_of, toml_of, uv_sources,
};
use crate::project::{LocalProject, ProjectError};

/// Environments of Hatch with packages of their own.
fn of_hatch(around: &Around, hatch: Option<&toml::Value>) -> Option<Unused> {
    let environments = hatch?.get("envs")?.as_table()?;
    let with_packages = environments.iter().filter(|(_, environment)| {
        let keys = ["dependencies", "extra-dependencies"];
        keys.iter().any(|key| environment.get(key).is_some())
    });
    let names: Vec<&str> = with_packages.map(|(name, _)| name.as_str()).collect();
    (!names.is_empty()).then(|| Unused {
        kind: UnusedKind::NotChosen,
        what: format!(
            "{}: environments of Hatch: {}",
            around.file,
            names.join(", ")
        ),
        why: "the image has what the project itself asks for".into(),
        next: "list what it needs more under packages of [image]".into(),
    })
}

pub(super) fn read(project: &Path, file: &str, choice: Choice) -> Result<Manifest, ProjectError> {
    let text = text_of(project, file)?;
    let table = toml_of(file, &text)?;
    let around = Around {
        project,
        file,
        text: &text,
        table: &table,
        choice,
    };
    let tool = |name: &str| tool(&table, name);
    let static_dependencies = table
        .get("project")
        .and_then(|project| project.get("dependencies"))
        .is_some();
    let mut manifest = match tool("poetry") {
        Some(poetry) if !static_dependencies => poetry::read(&around, poetry)?,
        Some(poetry) => {
            let mut manifest = pep621::read(&around)?;
            poetry::sources_beside(&around, poetry, &mut manifest);
            manifest
        }
        None => pep621::read(&around)?,
    };
    uv_sources::apply(&around, &mut manifest)?;
    if let Some(pixi) = tool("pixi") {
        pixi::add((project, file, &text), pixi, choice, &mut manifest)?;
    }
    pdm::sources(&around, &mut manifest);
    if let Some(rye) = tool("rye") {
        Indexes::of(file, rye.get("sources")).name_the_rest(&mut manifest);
    }
    manifest.unused.extend(of_hatch(&around, tool("hatch")));
    poetry::lock(&around, &mut manifest)?;
    pdm::lock(&around, &mut manifest)?;
    Ok(manifest)
}

/// A `pyproject.toml` with all that is known of it.
pub(super) struct Around<'a> {
    pub project: &'a Path,
    pub file: &'a str,
    pub text: &'a str,
    pub table: &'a toml::Table,
    pub choice: Choice<'a>,
}

impl Around<'_> {
    /// The project itself, where its folder holds one that can be built.
    pub fn itself(&self) -> Option<LocalProject> {
        let folder = folder_of(self.file);
        let has = |name: &str| self.project.join(folder).join(name).exists();
        let is_off = |tool_name: &str, key: &str| {
            let value = tool(self.table, tool_name).and_then(|t| t.get(key));
            value.and_then(toml::Value::as_bool) == Some(false)
        };
        let built = self.table.contains_key("build-system") || has("setup.py") || has("setup.cfg");
        if !built
            || is_off("poetry", "package-mode")
            || is_off("uv", "package")
            || is_off("pdm", "distribution")
        {
            return None;
        }
        Some(LocalProject {
            folder: folder.to_owned(),
            extras: Vec::new(),
            editable: true,
            origin: self.file.to_owned(),
        })
    }
}

fn tool<'a>(table: &'a toml::Table, name: &str) -> Option<&'a toml::Value> {
    table.get("tool")?.get(name)
}

/// The name of the project in a folder, as PEP 503 normalizes it; `None` where it stands there only as code.
pub(crate) fn name_of(project: &Path, folder: &str) -> Option<String> {
    let path = project.join(folder);
    let table: toml::Table = text_of(&path, "pyproject.toml")
        .unwrap_or_default()
        .parse()
        .unwrap_or_default();
    let of_poetry = tool(&table, "poetry").and_then(|poetry| poetry.get("name"));
    let named = table.get("project").and_then(|project| project.get("name"));
    let named = named.or(of_poetry).and_then(toml::Value::as_str);
    let name = match named {
        Some(name) => name.to_owned(),
        None => {
            let script = text_of(&path, "setup.py").ok()?;
            let of_nbdev = || setup::name_of_nbdev(&text_of(&path, "settings.ini").ok()?);
            setup::name_of(&script).or_else(of_nbdev)?
        }
    };
    name.parse::<pep508_rs::PackageName>()
        .ok()
        .map(|name| name.to_string())
}

/// What a project of the context says it needs to be built (PEP 518), and whether its version
/// comes from its repository, which no image holds.
pub(crate) fn build_requirements(project: &Path, folder: &str) -> (Vec<String>, bool) {
    let path = project.join(folder);
    let text = mlbuild_files::read_to_string(&path.join("pyproject.toml")).unwrap_or_default();
    let table: toml::Table = text.parse().unwrap_or_default();
    let system = table.get("build-system");
    let mut needs: Vec<String> = strings(system.and_then(|s| s.get("requires")))
        .map(str::to_owned)
        .collect();
    if needs.is_empty() {
        needs = vec!["setuptools".into(), "wheel".into()];
    }
    let scripts: String = ["setup.py", "setup.cfg"]
        .iter()
        .filter_map(|name| mlbuild_files::read_to_string(&path.join(name)).ok())
        .collect();
    let of_repository = [
        "setuptools_scm",
        "setuptools-scm",
        "hatch-vcs",
        "versioneer",
        "flit_scm",
        "versioningit",
        "setuptools-git-versioning",
        "setuptools_git_versioning",
        "poetry-dynamic-versioning",
        "uv-dynamic-versioning",
        "pbr",
    ];
    let pdm = table.get("tool").and_then(|tool| tool.get("pdm"));
    let source = pdm.and_then(|pdm| pdm.get("version")?.get("source")?.as_str());
    let by_repository = source == Some("scm")
        || of_repository
            .iter()
            .any(|name| needs.iter().any(|need| has_word(need, name)) || has_word(&scripts, name));
    (needs, by_repository)
}

/// Whether a text has a name by itself, and not as a part of another (`pbr` of `pbr-renderer`).
fn has_word(text: &str, name: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    text.match_indices(name).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + name.len()..]);
        !before.ends_with(is_part) && !after.starts_with(is_part)
    })
}

#[cfg(test)]
mod tests {
    use super::build_requirements;

    #[test]
    fn tools_that_ask_git_for_the_version_are_known_by_their_whole_names() {
        let system = |need: &str| format!("[build-system]\nrequires = [\"{need}\"]\n");
        let (scm, vcs, lint) = (
            system("setuptools_scm[toml]>=8"),
            system("hatch-vcs"),
            system("pbr-lint"),
        );
        for (file, text, asks) in [
            ("pyproject.toml", scm.as_str(), true),
            ("pyproject.toml", &vcs, true),
            ("pyproject.toml", &lint, false),
            (
                "pyproject.toml",
                "[tool.pdm.version]\nsource = \"scm\"\n",
                true,
            ),
            (
                "setup.py",
                "setup(setup_requires=['pbr>=2.0'], pbr=True)\n",
                true,
            ),
            (
                "setup.py",
                "import versioneer\nversioneer.get_version()\n",
                true,
            ),
            (
                "setup.py",
                "setup(name='pbr-renderer', version='1')\n",
                false,
            ),
            ("setup.py", "setup(name='numpbr', version='1')\n", false),
        ] {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join(file), text).unwrap();
            assert_eq!(build_requirements(folder.path(), ".").1, asks, "{text}");
        }
    }
}
