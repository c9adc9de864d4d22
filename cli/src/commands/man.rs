//! `mlbuild man`: manual pages, from the same definitions as the help.

use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Command, ValueHint};
use clap_mangen::Man;
use mlbuild_manifests::inside::keep_inside;

use crate::error::{CommandError, CommandResult};
use crate::support::output;

/// Write manual pages into a folder.
///
/// One page per command: mlbuild.1, mlbuild-image.1 and so on. The folder is made where it is
/// missing; man reads them from a folder named man1 on its path.
#[derive(Debug, Clone, Args)]
pub struct ManArgs {
    /// The folder, such as ~/.local/share/man/man1.
    #[arg(value_hint = ValueHint::DirPath)]
    pub dir: PathBuf,
}

/// Runs the verb; prints the path of each page.
///
/// # Errors
/// Where the folder can't be made or written to.
pub fn run(args: &ManArgs) -> CommandResult {
    let failed = |error: io::Error| {
        CommandError::environment(format!(
            "cannot write manual pages to {}: {error}",
            args.dir.display()
        ))
        .hint("give a folder that you may write to: mlbuild man ~/.local/share/man/man1")
    };
    keep_inside(Path::new("."), &args.dir).map_err(failed)?;
    std::fs::create_dir_all(&args.dir).map_err(failed)?;
    let mut paths = Vec::new();
    for (name, page) in pages(crate::definition()).map_err(failed)? {
        let path = args.dir.join(name);
        keep_inside(Path::new("."), &path).map_err(failed)?;
        mlbuild_manifests::atomic::replace(&path, &page).map_err(failed)?;
        paths.push(path.display().to_string());
    }
    output::answer(&paths.join("\n"))
}

/// File name and text of every page.
fn pages(command: Command) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    let mut rest = vec![command];
    while let Some(command) = rest.pop() {
        rest.extend(
            command
                .get_subcommands()
                .filter(|c| !c.is_hide_set())
                .cloned(),
        );
        let man = Man::new(command);
        let mut page = Vec::new();
        man.render(&mut page)?;
        pages.push((man.get_filename(), page));
    }
    pages.sort();
    Ok(pages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page() {
        let pages = pages(crate::definition()).unwrap();
        let names: Vec<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names[0], "mlbuild-adopt.1");
        assert!(
            names.contains(&"mlbuild.1") && names.contains(&"mlbuild-image.1"),
            "{names:?}"
        );
        let image = &pages
            .iter()
            .find(|(name, _)| name == "mlbuild-image.1")
            .unwrap()
            .1;
        assert!(String::from_utf8_lossy(image).contains(r"\fB\-\-requirements\fR"));
    }
}
