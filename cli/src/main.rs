//! The binary: parse, run, exit code. All else is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    mlbuild_cli::main()
}
