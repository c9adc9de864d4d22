//! The step that compiles packages' modules with a base's own Python.
//!
//! What the step is given and gives is told in `templates/data/bytecode/compile.py`.

use super::env_name;
use super::request::bind;
use crate::dockerfile::{
    Copy, Dockerfile, Instruction, Network, Purpose, RenderError, Run, Script, Word, script_word,
};

/// The named context with the modules, and [`COMPILE`] as `compile.py`.
pub const MODULES_CONTEXT: &str = "mlbuild-modules";
/// The program that compiles them.
pub const COMPILE: &str = include_str!("../../data/bytecode/compile.py");

/// The Dockerfile that has a base's Python compile modules, and gives the bytecode as files.
/// `python` is the program, `environment` the folder that the modules are installed in.
///
/// # Errors
/// Where the base can't be written into a Dockerfile.
pub fn bytecode_dockerfile(
    base: &str,
    python: &str,
    environment: &str,
) -> Result<String, RenderError> {
    let mut file = Dockerfile::default();
    let stage = "mlbuild-bytecode";
    file.push(Instruction::Arg {
        name: env_name("BASE_IMAGE"),
        default: Some(base.into()),
    });
    file.push(Instruction::From {
        image: Word::variable(env_name("BASE_IMAGE")),
        alias: Some(stage.into()),
    });
    file.push(Instruction::User("root".into()));
    let mut script = Script::strict();
    script.lines("umask 022;");
    script.lines(&format!(
        "{} -s -S -B -X utf8 /mlbuild/compile.py /mlbuild /mlbuild-out {};",
        script_word(python),
        script_word(environment)
    ));
    file.push(Instruction::Run(Run {
        mounts: vec![bind(MODULES_CONTEXT, None, "/mlbuild")],
        network: Network::None,
        script: script.finish(),
        purpose: Purpose::Other,
    }));
    file.push(Instruction::From {
        image: "scratch".into(),
        alias: None,
    });
    file.push(Instruction::Copy(Copy {
        from: Some(stage.into()),
        sources: vec!["/mlbuild-out".into()],
        destination: "/".into(),
        ..Copy::default()
    }));
    file.render()
}
