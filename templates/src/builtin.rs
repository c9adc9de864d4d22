//! The built-in templates as files that a person can read and build.
//!
//! Each file under `data/dockerfiles/` is what [`compose`] makes of the template's
//! [`default_spec`]: there is one generator, and a test keeps the files equal to its output. They
//! need nothing of mlbuild: `docker build` takes them as they are, with their parameters as ARGs
//! (`BASE_IMAGE`, `APT_PACKAGES`, `USERNAME`, `USER_UID`, `USER_GID`), and installs the
//! `requirements*.txt` that it finds in the build context.

use crate::compose::{ComposeContext, ComposeError, Composition, SecretUse, compose};
use crate::spec::{ImageSpec, PythonSpec, TemplateName, UserSpec};

/// A built-in template.
#[derive(Debug, Clone, Copy)]
pub struct Template {
    /// Its name.
    pub name: TemplateName,
    /// What it is for, in one line.
    pub summary: &'static str,
    /// The Dockerfile.
    pub text: &'static str,
}

/// All built-in templates.
pub fn list() -> [Template; 4] {
    TemplateName::ALL.map(get)
}

/// One built-in template.
pub fn get(name: TemplateName) -> Template {
    let (summary, text) = match name {
        TemplateName::Python => (
            "Python packages on a slim base",
            include_str!("../data/dockerfiles/python.Dockerfile"),
        ),
        TemplateName::Tensorflow => (
            "TensorFlow, whose wheels bring CUDA, on a slim base",
            include_str!("../data/dockerfiles/tensorflow.Dockerfile"),
        ),
        TemplateName::Pytorch => (
            "PyTorch, whose wheels bring CUDA, on a slim base",
            include_str!("../data/dockerfiles/pytorch.Dockerfile"),
        ),
        TemplateName::Cuda => (
            "NVIDIA's CUDA image, for code that links to CUDA itself",
            include_str!("../data/dockerfiles/cuda.Dockerfile"),
        ),
    };
    Template {
        name,
        summary,
        text,
    }
}

/// What a template is where nothing else is said: the requirements files of the build context,
/// the code, and a user `ml` with id 1000.
pub fn default_spec(name: TemplateName) -> ImageSpec {
    ImageSpec {
        template: name,
        python: PythonSpec {
            requirements: vec!["requirements*.txt".parse().expect("a plain pattern")],
            ..PythonSpec::default()
        },
        user: Some(UserSpec {
            name: "ml".parse().expect("a plain name"),
            uid: "1000".parse().expect("a plain number"),
            gid: None,
            sudo: false,
        }),
        ..ImageSpec::default()
    }
}

/// The template's Dockerfile, composed anew. It can take the host's CA bundle and package index as
/// secrets (`docker build --secret id=mlbuild-ca,src=FILE`), and does without where none is given.
///
/// # Errors
/// None for the built-in templates; the type is [`compose`]'s.
pub fn compose_default(name: TemplateName) -> Result<Composition, ComposeError> {
    let context = ComposeContext {
        secrets: [SecretUse::Ca, SecretUse::PipConf, SecretUse::UvConf].into(),
        ..ComposeContext::default()
    };
    compose(&default_spec(name), &context)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Set `UPDATE_TEMPLATES=1` to write the files anew.
    #[test]
    fn the_files_are_what_compose_makes() {
        for template in list() {
            let composed = compose_default(template.name).unwrap();
            assert!(composed.warnings.is_empty(), "{:?}", composed.warnings);
            let file = format!(
                "{}/data/dockerfiles/{}.Dockerfile",
                env!("CARGO_MANIFEST_DIR"),
                template.name
            );
            if std::env::var_os("UPDATE_TEMPLATES").is_some() {
                std::fs::write(file, composed.text).unwrap();
            } else {
                assert!(
                    composed.text == template.text,
                    "{file} differs from what compose makes: run the test with UPDATE_TEMPLATES=1"
                );
            }
        }
    }
}
