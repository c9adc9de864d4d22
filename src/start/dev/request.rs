//! What is wanted of the project's container.

use std::path::Path;

use crate::start::StartRequest;

/// A shell, a line or Jupyter in the project's container.
#[derive(Debug, Clone)]
pub struct DevRequest {
    /// The container, if one has to be started. Without an image it is the project's own.
    pub start: StartRequest,
    /// The tags that the project's configuration gives its image.
    pub image_tags: Vec<String>,
    /// Where the project is in the container; `None`: nowhere.
    pub dir: Option<String>,
    /// The shell; `None`: bash where the image has it, else sh.
    pub shell: Option<String>,
    /// A line that the shell runs, instead of a person.
    pub line: Option<String>,
    /// Jupyter instead of a shell.
    pub jupyter: Option<JupyterRequest>,
    /// Whether a container is started although one of the project runs.
    pub new: bool,
    /// Whether a person sits at a terminal.
    pub terminal: bool,
    /// What was asked for that a container which runs already can't be given any more, as a person
    /// wrote it.
    pub only_new: Vec<String>,
}

/// Jupyter in the project's container.
#[derive(Debug, Clone, Default)]
pub struct JupyterRequest {
    /// Its port on this machine's loopback; `None`: 8888 if it is free, else any.
    pub port: Option<u16>,
}

const BEST_SHELL: &str = "command -v bash > /dev/null && exec bash; exec sh";

impl DevRequest {
    /// What is started in the container, where no command was asked for.
    pub(super) fn command(&self) -> Vec<String> {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        match (&self.shell, &self.line) {
            (Some(shell), Some(line)) => words(&[shell, "-c", line]),
            (Some(shell), None) => words(&[shell]),
            (None, Some(line)) => words(&["/bin/sh", "-c", line]),
            (None, None) => words(&["/bin/sh", "-c", BEST_SHELL]),
        }
    }

    /// Where the folder that it is started from is in the container.
    pub(super) fn folder_inside(&self, project: &Path) -> Option<String> {
        let dir = self.dir.as_deref()?;
        let rest = self.start.folder.strip_prefix(project);
        let rest = rest.unwrap_or(Path::new(""));
        if rest.as_os_str().is_empty() {
            return Some(dir.to_owned());
        }
        Some(format!("{}/{}", dir.trim_end_matches('/'), rest.display()))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::runtime::RunSpec;
    use crate::start::GpuSelection;

    /// For a project without a word.
    pub(in crate::start::dev) fn request(folder: &str) -> DevRequest {
        DevRequest {
            start: StartRequest {
                spec: RunSpec::default(),
                runtime: None,
                gpu: GpuSelection::Auto,
                defaults: true,
                tracker_key: true,
                record: true,
                data: Vec::new(),
                run_id: "exp-7".parse().unwrap(),
                folder: folder.into(),
                registry: None,
            },
            image_tags: Vec::new(),
            dir: Some("/app".to_owned()),
            shell: None,
            line: None,
            jupyter: None,
            new: false,
            terminal: false,
            only_new: Vec::new(),
        }
    }

    #[test]
    fn the_shell_opens_where_one_stands() {
        let project = Path::new("/home/ann/cracks");
        let inside = |folder: &str, dir: &str| {
            let mut request = request(folder);
            request.dir = Some(dir.to_owned());
            request.folder_inside(project).unwrap()
        };
        assert_eq!(inside("/home/ann/cracks", "/app"), "/app");
        assert_eq!(
            inside("/home/ann/cracks/training/x", "/app/"),
            "/app/training/x"
        );
    }

    #[test]
    fn the_shell_gets_the_line() {
        let command = |shell: Option<&str>, line: Option<&str>| {
            let mut request = request("/p");
            request.shell = shell.map(str::to_owned);
            request.line = line.map(str::to_owned);
            request.command().join(" ")
        };
        assert_eq!(command(Some("zsh"), None), "zsh");
        assert_eq!(command(Some("zsh"), Some("ls -l")), "zsh -c ls -l");
        assert!(command(None, None).starts_with("/bin/sh -c"));
    }
}
