//! `data/compat/compiled.toml`: packages that are compiled where they are installed.

use std::sync::LazyLock;

use pep440_rs::{Version, VersionSpecifiers};
use serde::Deserialize;

/// Packages that publish no wheels, and what compiling them takes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompiledTable {
    package: Vec<CompiledPackage>,
    pure: Pure,
}

/// A package that is compiled where it is installed.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompiledPackage {
    /// Its canonical name.
    pub name: String,
    repository: Option<String>,
    /// Packages that its build imports: then it is built without isolation, beside them.
    #[serde(default)]
    pub needs: Vec<String>,
    /// Whether its build calls nvcc.
    #[serde(default)]
    pub nvcc: Nvcc,
    /// Packages of the distribution that its build takes, besides a compiler.
    #[serde(default)]
    pub apt: Vec<String>,
    wheels: Option<Version>,
}

/// Whether a build calls NVIDIA's compiler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Nvcc {
    /// It doesn't.
    #[default]
    Never,
    /// For the part that computes on GPUs.
    WithGpu,
    /// Nothing is built without it.
    Always,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pure {
    packages: Vec<String>,
}

/// The table that this build of mlbuild ships.
pub fn compiled() -> &'static CompiledTable {
    static TABLE: LazyLock<CompiledTable> = LazyLock::new(|| {
        let text = include_str!("../../data/compat/compiled.toml");
        toml::from_str(text).expect("data/compat/compiled.toml is checked")
    });
    &TABLE
}

impl CompiledTable {
    /// What is known of a package, by its canonical name.
    pub fn named(&self, name: &str) -> Option<&CompiledPackage> {
        self.package.iter().find(|package| package.name == name)
    }

    /// The package that a repository holds, by the last part of its address.
    pub fn of_repository(&self, repository: &str) -> Option<&CompiledPackage> {
        self.package.iter().find(|package| {
            let known = package.repository.as_deref().unwrap_or(&package.name);
            known.eq_ignore_ascii_case(repository)
        })
    }

    /// The packages with a source archive that holds nothing to compile.
    pub fn pure(&self) -> &[String] {
        &self.pure.packages
    }

    /// Whether a source archive holds nothing to compile.
    pub fn is_pure(&self, name: &str) -> bool {
        self.pure.packages.iter().any(|package| package == name)
    }
}

impl CompiledPackage {
    /// Whether some release that is asked for has no wheel.
    pub fn is_compiled(&self, asked: &VersionSpecifiers) -> bool {
        self.wheels.as_ref().is_none_or(|first| {
            // The newest that will do is installed.
            let is_capped = asked.iter().any(|one| {
                use pep440_rs::Operator::{Equal, EqualStar, LessThan, LessThanEqual, TildeEqual};
                let caps = [Equal, EqualStar, LessThan, LessThanEqual, TildeEqual];
                caps.contains(one.operator()) && one.version() <= first
            });
            is_capped && !asked.contains(first)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_from_before_the_first_wheels_are_compiled() {
        for (name, asked, is_compiled) in [
            ("flash-attn", "", true),
            ("flash-attn", "==2.8.3", true),
            ("pycocotools", "", false),
            ("pycocotools", ">=2.0", false),
            ("pycocotools", "==2.0.4", true),
            ("pycocotools", "<2.0.5", true),
            ("pycocotools", "==2.0.8", false),
            ("pycocotools", "<3", false),
        ] {
            let package = compiled().named(name).unwrap();
            let versions = asked.parse().unwrap();
            assert_eq!(package.is_compiled(&versions), is_compiled, "{name}{asked}");
        }
        assert_eq!(
            compiled().of_repository("flash-attention").unwrap().name,
            "flash-attn"
        );
        assert!(compiled().is_pure("docopt") && !compiled().is_pure("dlib"));
    }
}
