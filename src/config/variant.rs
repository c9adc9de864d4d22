//! `[variant.NAME]`: settings of an image under a name, laid over `[image]` where that name is asked for.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use super::{ImageConfig, UserConfig};

/// The name of a variant: what may stand in an image's tag, which it becomes a part of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct VariantName(String);

/// Characters of a tag, and so of a variant's name.
const LONGEST: usize = 128;

impl VariantName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A tag that ends in the name: `v1-cuda`. One that ends so already stays.
    pub fn end_of(&self, tag: &str) -> String {
        let name = &self.0;
        let is_end = tag
            .strip_suffix(name.as_str())
            .is_some_and(|start| start.is_empty() || start.ends_with('-'));
        match is_end {
            true => tag.to_owned(),
            false => format!("{tag}-{name}"),
        }
    }
}

impl fmt::Display for VariantName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for VariantName {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let name = String::deserialize(input)?;
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let is_usable = name.starts_with(is_word)
            && name.chars().all(|c| is_word(c) || c == '.' || c == '-')
            && name.len() <= LONGEST;
        if is_usable {
            return Ok(Self(name));
        }
        Err(de::Error::custom(format!(
            "`{}` can't name a variant: its name is a part of the image's tag, of letters, digits, `_`, `.` and `-`, and begins with none of the last two",
            name.escape_debug()
        )))
    }
}

impl JsonSchema for VariantName {
    fn schema_name() -> Cow<'static, str> {
        "VariantName".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$" })
    }
}

impl ImageConfig {
    /// Lays another one over it, as flags are: what that one has wins, lists and tables add up; its tags and its
    /// requirements files take the place of those that are there.
    pub fn lay_over(&mut self, over: ImageConfig) {
        // Every key by its name: a new one has to be thought of here.
        let ImageConfig {
            tags,
            template,
            dockerfile,
            base,
            method,
            gpu,
            python,
            installer,
            requirements,
            packages,
            extras,
            groups,
            compile,
            no_build_isolation,
            extra_build_dependencies,
            environment,
            torch_backend,
            cuda,
            target,
            conda,
            apt,
            run,
            ports,
            env,
            path,
            labels,
            gui,
            workdir,
            code,
            command,
            entrypoint,
            user,
            serve,
            reproducible,
        } = over;
        if !tags.is_empty() {
            self.tags = tags;
        }
        // One says what the image is; so does the other.
        if template.is_some() {
            self.dockerfile = None;
        }
        if dockerfile.is_some() {
            self.template = None;
        }
        replace(&mut self.template, template);
        replace(&mut self.dockerfile, dockerfile);
        replace(&mut self.base, base);
        replace(&mut self.method, method);
        replace(&mut self.gpu, gpu);
        replace(&mut self.python, python);
        replace(&mut self.installer, installer);
        replace(&mut self.requirements, requirements);
        add(&mut self.packages, packages);
        add(&mut self.extras, extras);
        add(&mut self.groups, groups);
        add(&mut self.compile, compile);
        add(&mut self.no_build_isolation, no_build_isolation);
        self.extra_build_dependencies
            .extend(extra_build_dependencies);
        replace(&mut self.environment, environment);
        replace(&mut self.torch_backend, torch_backend);
        replace(&mut self.cuda, cuda);
        replace(&mut self.target.nvidia_driver, target.nvidia_driver);
        replace(
            &mut self.target.compute_capability,
            target.compute_capability,
        );
        replace(&mut self.conda, conda);
        add(&mut self.apt, apt);
        self.run.extend(run);
        add(&mut self.ports, ports);
        self.env.extend(env);
        add(&mut self.path, path);
        self.labels.extend(labels);
        replace(&mut self.gui, gui);
        replace(&mut self.workdir, workdir);
        replace(&mut self.code, code);
        replace(&mut self.command, command);
        replace(&mut self.entrypoint, entrypoint);
        self.user.lay_over(user);
        replace(&mut self.serve, serve);
        replace(&mut self.reproducible, reproducible);
    }
}

impl UserConfig {
    fn lay_over(&mut self, over: UserConfig) {
        let UserConfig {
            name,
            uid,
            gid,
            sudo,
        } = over;
        replace(&mut self.name, name);
        replace(&mut self.uid, uid);
        replace(&mut self.gid, gid);
        replace(&mut self.sudo, sudo);
    }
}

fn replace<T>(value: &mut Option<T>, over: Option<T>) {
    if over.is_some() {
        *value = over;
    }
}

/// What both name stays once, where it is.
fn add<T: PartialEq>(list: &mut Vec<T>, over: Vec<T>) {
    for one in over {
        if !list.contains(&one) {
            list.push(one);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Config, ConfigError, parse};
    use super::*;

    fn read(text: &str) -> Result<Config, ConfigError> {
        parse(text, Path::new("mlbuild.toml"))
    }

    #[test]
    fn a_tag_ends_in_the_variants_name_once() {
        let cuda = VariantName("cuda".into());
        for (tag, named) in [
            ("v1", "v1-cuda"),
            ("latest", "latest-cuda"),
            ("v1-cuda", "v1-cuda"),
            ("cuda", "cuda"),
            ("barracuda", "barracuda-cuda"),
        ] {
            assert_eq!(cuda.end_of(tag), named);
        }
    }

    #[test]
    fn what_a_variant_says_wins_and_lists_add_up() {
        let config = read(
            r#"
            [image]
            tag = "a"
            template = "python"
            gpu = "off"
            packages = ["six", "numpy"]
            requirements = ["requirements.txt"]
            env = { A = "1", B = "1" }
            user = { name = "ml", uid = 7 }
            target = { nvidia_driver = "535.104.05" }

            [variant.cuda]
            gpu = "cuda"
            packages = ["numpy", "cupy"]
            requirements = ["cuda.txt"]
            env = { B = "2" }
            user = { uid = 8 }
            target = { compute_capability = "8.6" }

            [variant.own]
            tag = ["b", "c"]
            dockerfile = "Dockerfile"
            "#,
        )
        .unwrap();
        let laid = |name: &str| {
            let mut image = config.image.clone();
            image.lay_over(config.variants[&VariantName(name.to_owned())].clone());
            image
        };
        let expected = read(
            r#"
            [image]
            tag = "a"
            template = "python"
            gpu = "cuda"
            packages = ["six", "numpy", "cupy"]
            requirements = ["cuda.txt"]
            env = { A = "1", B = "2" }
            user = { name = "ml", uid = 8 }
            target = { nvidia_driver = "535.104.05", compute_capability = "8.6" }
            "#,
        );
        assert_eq!(laid("cuda"), expected.unwrap().image);
        let own = laid("own");
        assert_eq!(own.tags, ["b", "c"]);
        assert_eq!(own.template, None, "a Dockerfile is in its place");
        // Nothing of a variant is lost: over nothing it is itself.
        for variant in config.variants.values() {
            let mut image = ImageConfig::default();
            image.lay_over(variant.clone());
            assert_eq!(image, *variant);
        }
    }

    #[test]
    fn what_is_wrong_with_a_variant_is_said_with_its_line() {
        let long = "x".repeat(129);
        let said: Vec<String> = [
            "[variant.cuda]\ngpus = \"cuda\"\n".to_owned(),
            "[variant.cuda.user]\nuids = 7\n".to_owned(),
            "[image]\n\n[variant.\"cu da\"]\ngpu = \"cuda\"\n".to_owned(),
            "[variant.\"\"]\n".to_owned(),
            "[variant.-cuda]\n".to_owned(),
            format!("[variant.{long}]\n").replace(&long, "\"\\u001b[2J\""),
            "default_variant = \"cdua\"\n\n[variant.cuda]\n[variant.cpu]\n".to_owned(),
            "default_variant = \"cpu\"\n".to_owned(),
            "[variant]\ncuda = true\n".to_owned(),
            "[variants.cuda]\n".to_owned(),
        ]
        .iter()
        .map(|text| match read(text).unwrap_err() {
            error @ ConfigError::Invalid { .. } => {
                let ConfigError::Invalid { hint, .. } = &error else {
                    unreachable!("it was one");
                };
                format!("{error}\n  {}", hint.as_deref().unwrap_or("-"))
            }
            error => error.to_string(),
        })
        .collect();
        insta::assert_snapshot!(said.join("\n"), @r"
        mlbuild.toml:2:1: unknown key `gpus`
          did you mean `gpu`?
        mlbuild.toml:2:1: unknown key `uids`
          did you mean `uid`?
        mlbuild.toml:3:10: `cu da` can't name a variant: its name is a part of the image's tag, of letters, digits, `_`, `.` and `-`, and begins with none of the last two
          -
        mlbuild.toml:1:10: `` can't name a variant: its name is a part of the image's tag, of letters, digits, `_`, `.` and `-`, and begins with none of the last two
          -
        mlbuild.toml:1:10: `-cuda` can't name a variant: its name is a part of the image's tag, of letters, digits, `_`, `.` and `-`, and begins with none of the last two
          -
        mlbuild.toml:1:10: `\u{1b}[2J` can't name a variant: its name is a part of the image's tag, of letters, digits, `_`, `.` and `-`, and begins with none of the last two
          -
        mlbuild.toml:1:19: there is no variant `cdua`
          did you mean `cuda`? There are cpu, cuda
        mlbuild.toml:1:19: there is no variant `cpu`
          declare it with a table [variant.NAME]
        mlbuild.toml:2:8: invalid type: boolean `true`, expected struct ImageConfig
          -
        mlbuild.toml:1:2: unknown key `variants`
          did you mean `variant`?
        ");
        assert!(read(&format!("[variant.{long}]\n")).is_err());
        assert!(read(&format!("[variant.{}]\n", &long[1..])).is_ok());
    }
}
