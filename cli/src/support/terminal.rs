//! The reporter of the command line.

use std::io::IsTerminal;

use mlbuild::reporter::{Event, Question, Reporter};
use mlbuild_progress::{Drawing, ProgressMode, ProgressOutput, printable};
use tokio_util::sync::CancellationToken;

use super::output::{note, set_quiet, tell_above, warning, write_line};
use super::{interrupt, json_lines, project_file, remedies};

/// The terminal's reporter: notes and warnings go to stderr as [`note`] and [`warning`] write them,
/// and builds are drawn there.
#[derive(Debug, Clone, Copy, Default)]
pub struct Terminal {
    progress: ProgressMode,
}

impl Terminal {
    /// Draws builds in this form.
    pub fn new(progress: impl Into<ProgressMode>) -> Self {
        let progress = progress.into();
        if progress == ProgressMode::Json {
            json_lines::choose();
        }
        let is_quiet = matches!(progress, ProgressMode::Quiet | ProgressMode::RawJson);
        set_quiet(is_quiet);
        Terminal { progress }
    }
}

impl Reporter for Terminal {
    fn event(&self, event: Event) {
        if self.progress == ProgressMode::Json && json_lines::event(&event) {
            return;
        }
        let quiet = matches!(self.progress, ProgressMode::Quiet | ProgressMode::RawJson);
        match event {
            Event::Note(text) => note(&text),
            Event::Detail(text) if !quiet => note(&text),
            Event::ProjectFile(found) if self.progress != ProgressMode::Quiet => {
                note(&project_file::line(&found));
            }
            Event::LogIn(text) => write_line(&printable::text(&text)),
            Event::Warning(text) => warning(&text),
            Event::Unchanged if !quiet => {
                note("nothing changed since the lock: not built again (--no-skip builds)");
            }
            Event::InCacheOnly(builder) => warning(&format!(
                "the image is in the cache of {builder} only; push it (--push), load it (--load) or write it (-o)"
            )),
            Event::SecretArgument(name) => warning(&format!(
                "the build argument {name} ends up in the image's history if the Dockerfile uses it; \
                 use --secret id={name},env={name}"
            )),
            Event::NoGpu => {
                note("no GPU found on this host: --gpu=auto builds for the processor");
            }
            Event::CanOpenNoWindow => {
                note("  hint: mlbuild image --gui, with opencv-python, makes an image that can");
            }
            Event::Explained { meaning, remedy } => {
                let hint = remedies::words(&remedy);
                note(&format!("mlbuild: {meaning}\n  hint: {hint}"));
            }
            // Drawn from the builder's own messages.
            Event::Detail(_)
            | Event::ProjectFile(_)
            | Event::Unchanged
            | Event::SolveStarted
            | Event::Step(_)
            | Event::SolveFinished { .. } => {}
        }
    }

    fn cancellation(&self) -> CancellationToken {
        interrupt::shared()
    }

    fn drawing(&self) -> Option<Drawing> {
        let drawing = Drawing::new(self.progress, ProgressOutput::stderr());
        tell_above(drawing.notes());
        Some(drawing)
    }

    fn ask(&self, question: &Question) -> Option<bool> {
        let is_asked = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        if !is_asked || json_lines::is_chosen() {
            return None;
        }
        let mut usual = "y";
        let text = match question {
            Question::TrustProject { folder, wishes } => {
                usual = "n";
                note(&format!("{} reaches out of its folder:", folder.display()));
                for wish in wishes {
                    note(&format!("  - {}", printable::line(wish)));
                }
                "May it? It is remembered for this folder. [y/N] "
            }
            Question::StartPrivateBuilder => {
                "No builder was found. Start a private one? It is fetched once (about 100 MB), \
                 keeps to your own folder, and goes with `mlbuild engine down`. [Y/n] "
            }
        };
        eprint!("{text}");
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer).ok()?;
        let answer = answer.trim().to_lowercase();
        let answer = match answer.as_str() {
            "" => usual,
            answer => answer,
        };
        Some(matches!(answer, "y" | "yes"))
    }
}
