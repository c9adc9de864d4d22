//! A virtual environment without its packages, written without running Python: what
//! `python3 -m venv --without-pip` makes, from the base's own templates of activation scripts.

use crate::tar::{Content, TreeEntry};
use crate::target::Target;

/// What an environment takes from the Python that it is of.
#[derive(Clone, Debug)]
pub struct Venv {
    /// The Python's full version: `3.11.2`.
    pub version: String,
    /// The Python as it is started, which the environment's links lead to: `/usr/bin/python3`.
    pub executable: String,
    /// Where that link leads in the end: `/usr/bin/python3.11`.
    pub real_executable: String,
    /// Its templates, `venv/scripts/{common,posix}/*` of its library: name and text.
    pub templates: Vec<(String, String)>,
}

impl Venv {
    /// The environment's files in a layer, sorted; `site-packages` is empty.
    pub fn entries(&self, target: &Target) -> Vec<TreeEntry> {
        let mut entries = vec![self.folder(target, "")];
        let program = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
        let first = program(&self.executable);
        let mut bin = vec![(
            format!("bin/{first}"),
            Content::Symlink(self.executable.clone()),
        )];
        for name in ["python", "python3", &format!("python{}", target.python)] {
            if name != first {
                bin.push((format!("bin/{name}"), Content::Symlink(first.clone())));
            }
        }
        for (name, template) in &self.templates {
            bin.push((format!("bin/{name}"), file(fill(template, target))));
        }
        if target.python.minor >= 13 {
            let text = "# Created by venv; see https://docs.python.org/3/library/venv.html\n*\n";
            bin.push((".gitignore".to_owned(), file(text.to_owned())));
        }
        bin.push(("lib64".to_owned(), Content::Symlink("lib".to_owned())));
        bin.push(("pyvenv.cfg".to_owned(), file(self.configuration(target))));
        let mut folders = vec!["bin".to_owned(), "include".to_owned()];
        if target.python.minor >= 11 {
            folders.push(format!("include/python{}", target.python));
        }
        folders.extend(["lib".to_owned(), format!("lib/python{}", target.python)]);
        folders.push(target.site_packages());
        entries.extend(folders.iter().map(|path| self.folder(target, path)));
        entries.extend(bin.into_iter().map(|(path, content)| TreeEntry {
            path: format!("{}/{path}", target.folder()),
            content,
        }));
        entries.sort_by_key(|entry| entry.path.replace('/', "\0"));
        entries
    }

    fn folder(&self, target: &Target, path: &str) -> TreeEntry {
        TreeEntry {
            path: format!("{}/{path}", target.folder())
                .trim_end_matches('/')
                .to_owned(),
            content: Content::Folder,
        }
    }

    fn configuration(&self, target: &Target) -> String {
        let home = self
            .executable
            .rsplit_once('/')
            .map_or("/", |(home, _)| home);
        let mut text = format!(
            "home = {home}\ninclude-system-site-packages = false\nversion = {}\n",
            self.version
        );
        if target.python.minor >= 11 {
            text.push_str(&format!(
                "executable = {}\ncommand = {} -m venv --without-pip {}\n",
                self.real_executable,
                self.executable,
                target.prefix()
            ));
        }
        text
    }
}

fn file(text: String) -> Content {
    Content::File {
        is_executable: false,
        bytes: text.into_bytes(),
    }
}

/// A template with its variables filled in. Newer Pythons quote the values, older ones have quotes
/// around the variables.
fn fill(template: &str, target: &Target) -> String {
    let prefix = target.prefix();
    let name = prefix.rsplit('/').next().unwrap_or_default();
    let values = [
        ("__VENV_DIR__", prefix.to_owned()),
        ("__VENV_NAME__", name.to_owned()),
        ("__VENV_PROMPT__", prompt(name, target)),
        ("__VENV_BIN_NAME__", "bin".to_owned()),
        ("__VENV_PYTHON__", target.executable()),
    ];
    let mut text = String::new();
    let mut rest = template;
    while let Some(at) = rest.find("__VENV_") {
        let (before, from) = rest.split_at(at);
        text.push_str(before);
        let found = values.iter().find(|(key, _)| from.starts_with(key));
        let Some((key, value)) = found else {
            text.push_str("__VENV_");
            rest = &from["__VENV_".len()..];
            continue;
        };
        if is_in_quotes(&text) {
            text.push_str(value);
        } else {
            text.push_str(&quoted(value));
        }
        rest = &from[key.len()..];
    }
    text.push_str(rest);
    text
}

/// True where a quote of the last line is still open.
fn is_in_quotes(text: &str) -> bool {
    let line = text.rsplit('\n').next().unwrap_or_default();
    let is_open = |quote| line.matches(quote).count() % 2 == 1;
    is_open('"') || is_open('\'')
}

/// Older Pythons have the parentheses in the value, newer ones in the templates.
fn prompt(name: &str, target: &Target) -> String {
    if target.python.minor >= 13 {
        name.to_owned()
    } else {
        format!("({name}) ")
    }
}

/// As Python's `shlex.quote` does it.
fn quoted(text: &str) -> String {
    let is_safe = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
    if !text.is_empty() && text.chars().all(is_safe) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r#"'"'"'"#))
}
