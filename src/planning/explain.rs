//! Why an image is as it is: each decision with the field of the request, or the file and line, that it comes from.

use std::path::Path;

use mlbuild_templates::{ImageSpec, Installer, TemplateName};
use serde::Serialize;
use toml::de::{DeTable, DeValue};

use super::compose::{Composed, Decided};
use super::sent;
use crate::config;
use crate::pin::ImageUse;
use crate::plan::{BuildPlan, Context};
use crate::settings::{BuildRequest, ImageSettings, Source};

/// A decision about an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Choice {
    /// What was decided: `base`, `python`, `system library`.
    pub what: &'static str,
    /// What for.
    pub value: String,
    /// Why.
    pub from: Origin,
}

/// Where a decision comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The request says it.
    Asked {
        /// The field of the request.
        field: &'static str,
        /// What it holds, where that isn't the decision itself.
        value: Option<String>,
    },
    /// The file and line, or `default` with the reason.
    Said(String),
}

impl Origin {
    fn asked(field: &'static str) -> Self {
        Self::Asked { field, value: None }
    }
}

impl From<String> for Origin {
    fn from(text: String) -> Self {
        Self::Said(text)
    }
}

impl From<&str> for Origin {
    fn from(text: &str) -> Self {
        Self::Said(text.to_owned())
    }
}

/// Files that list packages of the distribution, as projects are looked at for them.
const APT_LISTS: [&str; 5] = [
    "apt.txt",
    "binder/apt.txt",
    ".binder/apt.txt",
    "packages.txt",
    "Aptfile",
];

/// What a caller knows of an image that isn't built yet.
pub struct Explained<'a> {
    /// What was asked for.
    pub request: &'a BuildRequest,
    /// The same, resolved.
    pub settings: &'a ImageSettings,
    /// The Dockerfile.
    pub composed: &'a Composed,
    /// The images that it names.
    pub uses: &'a [ImageUse],
    /// The build.
    pub plan: &'a BuildPlan,
}

impl Explained<'_> {
    /// Every decision, one after the other.
    pub fn choices(&self) -> Vec<Choice> {
        let config = Lines::of_project(&self.settings.project);
        let mut list = List {
            request: self.request,
            project: &self.settings.project,
            config,
            variant: self.settings.variant.as_deref(),
            choices: Vec::new(),
        };
        list.variant(self.settings.variant.as_deref());
        match (&self.settings.source, &self.composed.decided) {
            (Source::Composed { spec, .. }, Some(decided)) => list.composed(spec, decided),
            (Source::Composed { .. }, None) => {
                list.add(
                    "template",
                    &self.composed.name,
                    list.of(
                        "template",
                        self.request.template.is_some(),
                        &["template"],
                        "default",
                    ),
                );
            }
            (Source::Dockerfile { path, .. }, _) => list.own(path, self.uses),
        }
        list.platforms(&self.settings.build.platforms);
        list.ignored(self.plan);
        list.choices
    }

    /// What makes the image; `other` says why where nothing asks for it.
    pub fn made_by(&self, maker: &str, other: &str) -> Choice {
        let list = List {
            request: self.request,
            project: &self.settings.project,
            config: Lines::of_project(&self.settings.project),
            variant: self.settings.variant.as_deref(),
            choices: Vec::new(),
        };
        Choice {
            what: "made by",
            value: maker.to_owned(),
            from: list.of("method", self.request.method.is_some(), &["method"], other),
        }
    }
}

struct List<'a> {
    request: &'a BuildRequest,
    project: &'a Path,
    config: Lines,
    variant: Option<&'a str>,
    choices: Vec<Choice>,
}

impl List<'_> {
    fn add(&mut self, what: &'static str, value: impl ToString, from: impl Into<Origin>) {
        self.choices.push(Choice {
            what,
            value: value.to_string(),
            from: from.into(),
        });
    }

    /// The request's field where it was given, else the line of `mlbuild.toml`, else something else.
    fn of(&self, field: &'static str, is_given: bool, key: &[&str], other: &str) -> Origin {
        if is_given {
            return Origin::asked(field);
        }
        let line = self.line_of(key, None);
        line.unwrap_or(other.to_owned()).into()
    }

    /// The line of a key of the variant, else of `[image]`.
    fn line_of(&self, key: &[&str], item: Option<&str>) -> Option<String> {
        let of_variant = self.variant.and_then(|name| {
            let path: Vec<&str> = [&["variant", name], key].concat();
            self.config.line_of(&path, item)
        });
        let path: Vec<&str> = [&["image"], key].concat();
        of_variant.or_else(|| self.config.line_of(&path, item))
    }

    /// Which of the project's images it is.
    fn variant(&mut self, name: Option<&str>) {
        let Some(name) = name else { return };
        let from: Origin = match self.config.line_of(&["default_variant"], None) {
            Some(line) if self.request.variant.is_none() => line.into(),
            _ => Origin::asked("variant"),
        };
        self.add("variant", name, from);
    }

    fn composed(&mut self, spec: &ImageSpec, decided: &Decided) {
        let request = self.request;
        let origins = &decided.origins;
        let frameworks: Vec<String> = origins
            .frameworks
            .iter()
            .map(|asked| format!("{} ({})", asked.text, asked.origin))
            .collect();
        let brought = origins.template.as_ref();
        let by_packages = match (spec.template, frameworks.first().or(brought)) {
            (TemplateName::Python, _) | (_, None) => "default".to_owned(),
            (_, Some(first)) => first.clone(),
        };
        let from = self.of(
            "template",
            request.template.is_some(),
            &["template"],
            &by_packages,
        );
        self.add("template", spec.template, from);
        let gpu_default = match spec.template {
            TemplateName::Python => "default".to_owned(),
            template => format!("the {template} template's default"),
        };
        let gpu_default = origins.accelerator.clone().unwrap_or(gpu_default);
        let from = self.of("gpu", request.gpu.is_some(), &["gpu"], &gpu_default);
        self.add("accelerator", decided.accelerator, from);
        self.base(spec, decided);
        self.python(decided);
        if let Some(cuda) = &decided.cuda {
            let other = origins.cuda.as_deref().unwrap_or("default");
            let from = self.of("cuda", request.cuda.is_some(), &["cuda"], other);
            self.add("CUDA", cuda, from);
        }
        self.packages(spec, decided);
        for compiled in &origins.compiled {
            self.add("compiled", &compiled.text, compiled.origin.clone());
        }
        for build in &origins.builds {
            self.add("builder stage", &build.text, build.origin.clone());
        }
        self.system(spec, decided);
        self.commands(spec, decided);
        self.user(spec);
    }

    fn base(&mut self, spec: &ImageSpec, decided: &Decided) {
        let key = match decided.accelerator.as_str() {
            "off" => "cpu",
            other => other,
        };
        let of_accelerator = self
            .config
            .line_of(&["accelerator", key, "base_image"], None);
        let from = match (spec.base.is_some(), &self.request.launch_config) {
            (true, _) => self.of("base", self.request.base.is_some(), &["base"], "default"),
            (false, Some(file)) => Origin::Asked {
                field: "launch_config",
                value: Some(file.display().to_string()),
            },
            (false, None) => of_accelerator
                .or(decided.origins.base.clone())
                .unwrap_or_else(|| {
                    format!(
                        "default for the {} template and gpu {}",
                        spec.template, decided.accelerator
                    )
                })
                .into(),
        };
        self.add("base", &decided.base, from);
    }

    fn python(&mut self, decided: &Decided) {
        let Some(version) = &decided.python else {
            if let Some(conda) = &decided.origins.conda {
                return self.add("Python", "as conda solves it", conda.text.clone());
            }
            return self.add("Python", "the base's own", "no version is asked for");
        };
        let given = self.request.python.is_some();
        let other = match &decided.origins.python {
            Some(origin) => origin.clone(),
            None => [".python-version", "runtime.txt"]
                .into_iter()
                .find_map(|file| self.line_with(file, version))
                .unwrap_or_else(|| "default".into()),
        };
        let from = self.of("python", given, &["python"], &other);
        self.add("Python", version, from);
    }

    fn conda(&mut self, decided: &Decided) {
        let Some(conda) = &decided.origins.conda else {
            return;
        };
        let is_given = self.request.conda.is_some();
        let from = self.of("conda", is_given, &["conda"], &conda.origin);
        self.add("conda", &conda.text, from);
        for channel in &decided.origins.channels {
            self.add("channel", &channel.text, channel.origin.clone());
        }
    }

    fn packages(&mut self, spec: &ImageSpec, decided: &Decided) {
        let request = self.request;
        self.conda(decided);
        let Some(installer) = decided.installer else {
            return;
        };
        let name = if installer == Installer::Pip {
            "pip"
        } else {
            "uv"
        };
        let other = decided.origins.installer.as_deref().unwrap_or("default");
        let from = self.of(
            "installer",
            request.installer.is_some(),
            &["installer"],
            other,
        );
        self.add("installer", name, from);
        let python = &spec.python;
        let lock = python.project.as_ref().map(|folder| {
            let folder = folder.as_str().trim_end_matches('/');
            if folder == "." {
                "pyproject.toml".to_owned()
            } else {
                format!("{folder}/pyproject.toml")
            }
        });
        let files = lock
            .into_iter()
            .chain(python.pylock.iter().map(ToString::to_string))
            .chain(python.requirements.iter().map(ToString::to_string));
        for file in files {
            let given = !request.requirements.is_empty();
            let from = self.of(
                "requirements",
                given,
                &["requirements"],
                "it lies in the project",
            );
            self.add("packages", file, from);
        }
        let has_files =
            !python.requirements.is_empty() || python.pylock.is_some() || python.project.is_some();
        if !has_files && python.packages.is_empty() {
            let from = "no file at the project's root says which; one may lie below it";
            self.add("packages", "none", from);
        }
        for package in &python.packages {
            let from = match request.packages.contains(package) {
                true => Origin::asked("packages"),
                false => self.item("packages", package).into(),
            };
            self.add("packages", package, from);
        }
        match &decided.origins.index {
            Some(index) => {
                let from = self.of("", false, &["torch_backend"], &index.origin);
                self.add("index", &index.text, from);
            }
            None => {
                let from = match self.request.no_host_network_settings {
                    true => Origin::asked("no_host_network_settings"),
                    false => "this machine's pip configuration, else default".into(),
                };
                self.add("index", "the usual package index", from);
            }
        }
    }

    fn system(&mut self, spec: &ImageSpec, decided: &Decided) {
        for package in &spec.apt {
            let name = package.to_string();
            let from = if self.request.apt.contains(&name) {
                Origin::asked("apt")
            } else if let Some(line) = self.line_of(&["apt"], Some(&name)) {
                line.into()
            } else {
                let mut files = APT_LISTS.iter();
                let line = files.find_map(|file| self.line_with(file, &name));
                line.unwrap_or_else(|| APT_LISTS[0].into()).into()
            };
            self.add("system library", name, from);
        }
        for (package, why) in &decided.origins.apt {
            self.add("system library", package, why.clone());
        }
    }

    fn commands(&mut self, spec: &ImageSpec, decided: &Decided) {
        // Several lines of a command are shown by its first.
        let shown = |command: &str| match command.trim_end().split_once('\n') {
            Some((first, _)) => format!("{first} …"),
            None => command.to_owned(),
        };
        for step in &spec.run {
            let from = if self.request.run.contains(&step.command) {
                Origin::asked("run")
            } else {
                self.item("run", &step.command).into()
            };
            self.add("command", shown(&step.command), from);
        }
        for asked in &decided.origins.commands {
            self.add("command", shown(&asked.text), asked.origin.clone());
        }
    }

    fn user(&mut self, spec: &ImageSpec) {
        let request = self.request;
        let flag = [
            ("user", request.user.is_some()),
            ("uid", request.uid.is_some()),
            ("gid", request.gid.is_some()),
            ("sudo", request.sudo),
        ];
        let given = flag.iter().find(|(_, given)| *given);
        let from = match given {
            Some((field, _)) => Origin::asked(field),
            None => self.of("user", false, &["user"], "default"),
        };
        let value = match &spec.user {
            Some(user) => format!("{} ({})", user.name, user.uid),
            None => "root".to_owned(),
        };
        self.add("user", value, from);
    }

    fn own(&mut self, path: &Path, uses: &[ImageUse]) {
        let from = self.of(
            "file",
            self.request.file.is_some(),
            &["dockerfile"],
            "nothing else in the folder says what the image is",
        );
        self.add("Dockerfile", path.display(), from);
        for used in uses {
            let from = format!("{}:{}", path.display(), used.line);
            let what = if used.is_base { "base" } else { "image" };
            self.add(what, &used.reference, from);
        }
    }

    /// The platforms that are asked for; without any it is the builder's, or the lock's.
    fn platforms(&mut self, asked: &[String]) {
        let from: Origin = match self.config.line_of(&["build", "platforms"], None) {
            Some(line) if self.request.platforms.is_empty() => line.into(),
            _ => Origin::asked("platforms"),
        };
        for name in asked {
            self.add("platform", name, from.clone());
        }
    }

    fn ignored(&mut self, plan: &BuildPlan) {
        let (Context::Folder { .. }, Some(ignore)) = (&plan.context, &plan.dockerfile.ignore)
        else {
            return;
        };
        let (value, from) = if ignore.is_of_project {
            ("its lines".to_owned(), sent::name_of(ignore, &plan.context))
        } else {
            let from = "default: no ignore file".to_owned();
            ("the usual ones".to_owned(), from)
        };
        self.add("ignored files", value, from);
    }

    /// Where a list of `[image]` has an item.
    fn item(&self, key: &str, item: &str) -> String {
        let found = self.line_of(&[key], Some(item));
        found.unwrap_or_else(|| config::FILE_NAME.to_owned())
    }

    /// The first line of a project's file that holds a text.
    fn line_with(&self, file: &str, text: &str) -> Option<String> {
        let content = mlbuild_files::read_to_string(&self.project.join(file)).ok()?;
        let at = content.lines().position(|line| line.contains(text))?;
        Some(format!("{file}:{}", at + 1))
    }
}

/// The keys of a project's `mlbuild.toml`, with their lines.
struct Lines {
    text: String,
}

impl Lines {
    fn of_project(project: &Path) -> Self {
        let text = mlbuild_files::read_to_string(&project.join(config::FILE_NAME));
        Lines {
            text: text.unwrap_or_default(),
        }
    }

    /// `mlbuild.toml:3`: the line of a key, or of an item of the list that it holds.
    fn line_of(&self, path: &[&str], item: Option<&str>) -> Option<String> {
        let document = DeTable::parse(&self.text).ok()?;
        let (last, tables) = path.split_last()?;
        let mut table = document.get_ref();
        for name in tables {
            table = match table.get(*name)?.get_ref() {
                DeValue::Table(inner) => inner,
                _ => return None,
            };
        }
        let (key, value) = table.get_key_value(*last)?;
        let mut start = key.span().start;
        if let Some(item) = item {
            let DeValue::Array(items) = value.get_ref() else {
                return None;
            };
            let mut items = items.iter();
            start = items
                .find(|found| found.get_ref().as_str() == Some(item))?
                .span()
                .start;
        }
        let line = self.text.get(..start)?.matches('\n').count() + 1;
        Some(format!("{}:{line}", config::FILE_NAME))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_items_have_lines() {
        let lines = Lines {
            text: "[image]\npython = \"3.12\"\napt = [\n  \"git\",\n  \"curl\",\n]\n[image.user]\nuid = 7\n".into(),
        };
        let line = |path: &[&str], item| lines.line_of(path, item).unwrap_or_default();
        assert_eq!(line(&["image", "python"], None), "mlbuild.toml:2");
        assert_eq!(line(&["image", "apt"], Some("curl")), "mlbuild.toml:5");
        assert_eq!(line(&["image", "user", "uid"], None), "mlbuild.toml:8");
        assert_eq!(line(&["image", "base"], None), "");
        assert_eq!(line(&["image", "apt"], Some("vim")), "");
    }
}
