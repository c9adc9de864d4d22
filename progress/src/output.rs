//! Where a build is shown.

use std::io::{self, IsTerminal, Write};

use crate::terminal::{Looks, Size, SizeOf};

/// Where progress is written.
pub struct ProgressOutput {
    pub(crate) out: Box<dyn Write + Send>,
    pub(crate) is_stderr: bool,
    pub(crate) is_terminal: bool,
    pub(crate) size: SizeOf,
    pub(crate) looks: Looks,
}

impl ProgressOutput {
    /// The process's standard error, where the story belongs.
    pub fn stderr() -> Self {
        let dumb = std::env::var("TERM").is_ok_and(|t| t == "dumb");
        Self {
            out: Box::new(io::stderr()),
            is_stderr: true,
            is_terminal: io::stderr().is_terminal() && !dumb,
            size: Box::new(|| {
                let (height, width) = console::Term::stderr().size_checked()?;
                Some(Size {
                    width: width.into(),
                    height: height.into(),
                })
            }),
            looks: Looks::from_environment(),
        }
    }

    /// Any writer: a file, a pipe, a buffer. It isn't a terminal.
    pub fn writer(out: impl Write + Send + 'static) -> Self {
        Self {
            out: Box::new(out),
            is_stderr: false,
            is_terminal: false,
            size: Box::new(|| None),
            looks: Looks {
                color: false,
                unicode: true,
            },
        }
    }

    /// A writer that behaves as a terminal of the size that `size` tells at each drawing.
    pub fn terminal(
        out: impl Write + Send + 'static,
        size: impl Fn() -> Option<Size> + Send + 'static,
    ) -> Self {
        Self {
            is_terminal: true,
            size: Box::new(size),
            ..Self::writer(out)
        }
    }
}
