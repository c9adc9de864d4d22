//! Requirements files, as pip reads them: enough to know which packages they ask for, which other
//! files they include, and which lines can't work inside an image.

use std::collections::BTreeSet;
use std::path::Path;
use std::str::FromStr;

use pep508_rs::{
    ExtraName, MarkerEnvironment, MarkerEnvironmentBuilder, Requirement, VerbatimUrl, VersionOrUrl,
};

use super::{ProjectError, Wanted};

/// What a set of requirements files asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Requirements {
    /// The packages, in the order of the files. What a marker rules out on Linux isn't listed.
    pub wanted: Vec<Wanted>,
    /// The files themselves and all they include, relative to the project, sorted.
    pub files: BTreeSet<String>,
    /// Lines that fetch from a version control system, as `git`.
    pub vcs: BTreeSet<String>,
    /// The first line that pins a hash, as `requirements.txt:3`: then every package has to.
    pub hashed: Option<String>,
    /// Lines that hold a user name or password in a URL, as `requirements.txt:3`.
    pub credentials: Vec<String>,
}

const MAX_DEPTH: usize = 20;

/// Options that take no value.
const SWITCHES: [&str; 5] = [
    "--no-index",
    "--pre",
    "--prefer-binary",
    "--require-hashes",
    "--isolated",
];

/// Options that take a value and change nothing that is decided here.
const VALUES: [&str; 8] = [
    "-i",
    "--index-url",
    "--extra-index-url",
    "--no-binary",
    "--only-binary",
    "--trusted-host",
    "--use-feature",
    "--pypi-url",
];

/// Reads requirements files, and the files that they include, of the project in a folder.
///
/// # Errors
/// [`ProjectError`] names the file and line that is missing, unreadable, not understood, or that
/// names a path, which isn't in the image when packages are installed.
pub fn read_requirements(project: &Path, files: &[String]) -> Result<Requirements, ProjectError> {
    let mut reader = Reader {
        project,
        environment: linux(),
        found: Requirements::default(),
    };
    for file in files {
        reader.read(file, false, 0)?;
    }
    Ok(reader.found)
}

/// Reads one requirement that isn't in a file.
pub(crate) fn parse_one(text: &str, origin: &str) -> Result<Wanted, String> {
    let requirement =
        Requirement::<VerbatimUrl>::from_str(text).map_err(|e| first_line(&e.to_string()))?;
    Ok(wanted(&requirement, origin))
}

struct Reader<'a> {
    project: &'a Path,
    environment: MarkerEnvironment,
    found: Requirements,
}

/// A logical line: continuation lines joined, with the number of its first line.
struct Line {
    number: usize,
    text: String,
}

impl Reader<'_> {
    fn read(&mut self, file: &str, constraint: bool, depth: usize) -> Result<(), ProjectError> {
        let file = normalize(file);
        if !self.found.files.insert(file.clone()) {
            return Ok(());
        }
        let text = load(self.project, &file)?;
        for line in logical_lines(&text) {
            let at = Place {
                file: &file,
                line: &line,
            };
            self.line(&at, constraint, depth)?;
        }
        Ok(())
    }

    fn line(&mut self, at: &Place, constraint: bool, depth: usize) -> Result<(), ProjectError> {
        let text = at.line.text.as_str();
        if has_credentials(text) {
            self.found.credentials.push(at.origin());
        }
        if !text.starts_with('-') {
            return self.requirement(at, text, constraint);
        }
        let (option, value) = option_and_value(text);
        match option {
            "-r" | "--requirement" | "-c" | "--constraint" => {
                if depth == MAX_DEPTH {
                    return Err(at.bad("is included too deeply", "include fewer levels of files"));
                }
                let folder = at.file.rsplit_once('/').map_or("", |(folder, _)| folder);
                let included = normalize(&format!("{folder}/{value}"));
                if value.is_empty()
                    || value.starts_with('/')
                    || included.starts_with("..")
                    || value.contains("://")
                {
                    return Err(at.bad(
                        "includes a file from outside the build context",
                        "include files of the project, by a relative path",
                    ));
                }
                let missing = !self.project.join(&included).exists();
                if missing {
                    return Err(at.bad(
                        &format!("includes {included}, which isn't there"),
                        "write the file or remove the line",
                    ));
                }
                self.read(
                    &included,
                    constraint || option.starts_with("-c") || option == "--constraint",
                    depth + 1,
                )
            }
            "-e" | "--editable" => Err(at.local()),
            "-f" | "--find-links" if !value.contains("://") => Err(at.local()),
            "-f" | "--find-links" => Ok(()),
            _ if SWITCHES.contains(&option) || VALUES.contains(&option) => Ok(()),
            _ => Err(at.bad(
                &format!("{option} isn't an option of requirements files"),
                "write one requirement per line, such as numpy>=1.26",
            )),
        }
    }

    fn requirement(
        &mut self,
        at: &Place,
        text: &str,
        constraint: bool,
    ) -> Result<(), ProjectError> {
        // Options of one requirement (--hash=…) follow it.
        if text.contains(" --hash=") {
            self.found.hashed.get_or_insert(at.origin());
        }
        let text = text.split(" --").next().unwrap_or(text).trim();
        if let Some((vcs, _)) = text
            .rsplit_once("+")
            .filter(|(_, rest)| rest.contains("://"))
        {
            let vcs = vcs
                .rsplit(|c: char| !c.is_ascii_alphabetic())
                .next()
                .unwrap_or(vcs);
            self.found.vcs.insert(vcs.to_owned());
        }
        if text.starts_with(['.', '/']) || text.starts_with("file:") || text.contains("@ file:") {
            return Err(at.local());
        }
        if !text.contains('@') && text.contains("://") {
            // A bare URL: its name is in the fragment, or nobody knows it before it is fetched.
            if let Some((_, name)) = text.split_once("#egg=") {
                let name = name.split(['&', '[']).next().unwrap_or(name);
                self.found
                    .wanted
                    .extend(parse_one(name, &at.origin()).ok().map(|w| Wanted {
                        versions: None,
                        ..w
                    }));
            }
            return Ok(());
        }
        let requirement = Requirement::<VerbatimUrl>::from_str(text).map_err(|error| {
            at.bad(
                &first_line(&error.to_string()),
                "write it as NAME, NAME==VERSION or NAME @ URL (https://peps.python.org/pep-0508/)",
            )
        })?;
        let extras: Vec<ExtraName> = Vec::new();
        if !constraint && requirement.marker.evaluate(&self.environment, &extras) {
            self.found.wanted.push(wanted(&requirement, &at.origin()));
        }
        Ok(())
    }
}

struct Place<'a> {
    file: &'a str,
    line: &'a Line,
}

impl Place<'_> {
    fn origin(&self) -> String {
        format!("{}:{}", self.file, self.line.number)
    }

    fn bad(&self, reason: &str, hint: &str) -> ProjectError {
        ProjectError::Line {
            file: self.file.to_owned(),
            line: self.line.number,
            text: self.line.text.clone(),
            reason: reason.to_owned(),
            hint: hint.to_owned(),
        }
    }

    fn local(&self) -> ProjectError {
        self.bad(
            "names a path, which isn't in the image when packages are installed (the code comes later, so that an edit of it installs nothing again)",
            "remove the line: the code is in the working folder, where Python finds it; or publish the package",
        )
    }
}

fn wanted(requirement: &Requirement<VerbatimUrl>, origin: &str) -> Wanted {
    let mut extras: Vec<String> = requirement.extras.iter().map(ToString::to_string).collect();
    extras.sort();
    Wanted {
        name: requirement.name.to_string(),
        extras,
        versions: match &requirement.version_or_url {
            None => Some(pep440_rs::VersionSpecifiers::empty()),
            Some(VersionOrUrl::VersionSpecifier(versions)) => Some(versions.clone()),
            Some(VersionOrUrl::Url(_)) => None,
        },
        origin: origin.to_owned(),
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

fn load(project: &Path, file: &str) -> Result<String, ProjectError> {
    let unreadable = |reason: String, hint: &str| ProjectError::Unreadable {
        path: file.into(),
        reason,
        hint: hint.to_owned(),
    };
    let bytes = std::fs::read(project.join(file)).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => unreadable(
            "no such file".into(),
            "check the name; it is relative to the build context",
        ),
        _ => unreadable(error.to_string(), "make it readable, or leave it out"),
    })?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(unreadable(
            "it is UTF-16".into(),
            "save it as UTF-8 (in PowerShell: pip freeze | Out-File -Encoding utf8)",
        ));
    }
    String::from_utf8(bytes.to_vec())
        .map_err(|_| unreadable("it isn't UTF-8 text".into(), "save it as UTF-8"))
}

fn logical_lines(text: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut open: Option<Line> = None;
    for (number, raw) in text.lines().enumerate() {
        let (body, continues) = match raw.strip_suffix('\\') {
            Some(body) => (body, true),
            None => (raw, false),
        };
        let line = open.get_or_insert(Line {
            number: number + 1,
            text: String::new(),
        });
        line.text.push_str(body);
        if !continues {
            lines.extend(open.take());
        }
    }
    lines.extend(open);
    for line in &mut lines {
        let text = line.text.trim();
        let text = if text.starts_with('#') {
            ""
        } else {
            text.split(" #").next().unwrap_or(text)
        };
        line.text = text.trim().to_owned();
    }
    lines.retain(|line| !line.text.is_empty());
    lines
}

fn option_and_value(text: &str) -> (&str, &str) {
    let (option, value) = text
        .split_once(|c: char| c == '=' || c.is_whitespace())
        .unwrap_or((text, ""));
    if !text.starts_with("--") && option.len() > 2 {
        return (&text[..2], text[2..].trim());
    }
    (option, value.trim())
}

/// Removes `.` parts and resolves `..` as far as the path goes.
fn normalize(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            other => parts.push(other),
        }
    }
    parts.join("/")
}

fn has_credentials(text: &str) -> bool {
    let Some((_, rest)) = text.split_once("://") else {
        return false;
    };
    let authority = rest.split(['/', '#', '?']).next().unwrap_or(rest);
    // `${TOKEN}` is filled in by pip while it runs, and `git@` is a name everybody knows.
    authority
        .rsplit_once('@')
        .is_some_and(|(user, _)| !user.starts_with("${") && user != "git")
}

/// The environment that markers are judged in: CPython on Linux, x86_64.
fn linux() -> MarkerEnvironment {
    MarkerEnvironment::try_from(MarkerEnvironmentBuilder {
        implementation_name: "cpython",
        implementation_version: "3.12.0",
        os_name: "posix",
        platform_machine: "x86_64",
        platform_python_implementation: "CPython",
        platform_release: "",
        platform_system: "Linux",
        platform_version: "",
        python_full_version: "3.12.0",
        python_version: "3.12",
        sys_platform: "linux",
    })
    .expect("a plain environment")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        dir
    }

    fn read(files: &[(&str, &str)]) -> Result<Requirements, ProjectError> {
        let dir = project(files);
        read_requirements(dir.path(), &[files[0].0.to_owned()])
    }

    fn names(requirements: &Requirements) -> Vec<&str> {
        requirements
            .wanted
            .iter()
            .map(|w| w.name.as_str())
            .collect()
    }

    #[test]
    fn names_versions_markers_and_includes() {
        let found = read(&[
            (
                "requirements/train.txt",
                "# training\n-r base.txt\n-c ../constraints.txt\nOpenCV_Python == 4.10.0.84  # windows\n\
                 torch[extra]>=2.1, \\\n  <3 --hash=sha256:abc\npywin32; sys_platform == 'win32'\n\
                 --extra-index-url https://example.com/simple\n\
                 git+https://example.com/x/y.git#egg=y\nz @ git+ssh://git@example.com/z.git\n",
            ),
            ("requirements/base.txt", "numpy\n-r train.txt\n"),
            ("constraints.txt", "scipy<2\n"),
        ])
        .unwrap();
        assert_eq!(names(&found), ["numpy", "opencv-python", "torch", "y", "z"]);
        assert_eq!(found.wanted[1].origin, "requirements/train.txt:4");
        assert_eq!(found.wanted[2].origin, "requirements/train.txt:5");
        assert_eq!(
            found.wanted[2].versions.as_ref().unwrap().to_string(),
            ">=2.1, <3"
        );
        assert_eq!(
            found.files.iter().map(String::as_str).collect::<Vec<_>>(),
            [
                "constraints.txt",
                "requirements/base.txt",
                "requirements/train.txt"
            ]
        );
        assert_eq!(found.vcs.iter().collect::<Vec<_>>(), ["git"]);
        assert_eq!(found.hashed.as_deref(), Some("requirements/train.txt:5"));
        assert!(found.credentials.is_empty());
    }

    #[test]
    fn a_broken_line_is_shown_with_its_number() {
        let error = read(&[("requirements.txt", "numpy\n\nflask===>2\n")]).unwrap_err();
        insta::assert_snapshot!(error, @r#"
        requirements.txt:3: no such comparison operator "===>", must be one of ~= == != <= >= < > ===
            flask===>2
        write it as NAME, NAME==VERSION or NAME @ URL (https://peps.python.org/pep-0508/)
        "#);
    }

    #[test]
    fn paths_and_missing_files_are_refused() {
        for line in [
            "-e .",
            "./pkg",
            "/srv/pkg.whl",
            "x @ file:///srv/x.whl",
            "--find-links wheels",
            "-r /etc/x",
            "-r ../x.txt",
            "-r none.txt",
            "--frobnicate",
        ] {
            let error = read(&[("requirements.txt", line)]).unwrap_err();
            assert!(
                matches!(error, ProjectError::Line { line: 1, .. }),
                "{line}: {error}"
            );
        }
        let dir = project(&[("latin.txt", "")]);
        std::fs::write(dir.path().join("latin.txt"), b"\xff\xfen\0").unwrap();
        let error = |name: &str| {
            read_requirements(dir.path(), &[name.to_owned()])
                .unwrap_err()
                .to_string()
        };
        assert!(error("latin.txt").contains("UTF-16"));
        assert!(error("none.txt").contains("no such file"));
    }

    #[test]
    fn passwords_in_urls_are_noticed() {
        let text = "--index-url https://me:secret@example.com/simple\n--extra-index-url https://${T}@example.com/\n";
        let found = read(&[("requirements.txt", text)]).unwrap();
        assert_eq!(found.credentials, ["requirements.txt:1"]);
    }
}
