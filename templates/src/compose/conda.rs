//! Packages of conda's channels: fetched by hash and laid out in a stage of their own, by py-rattler, which stays
//! there. The image gets the prefix alone.

use super::inputs::Inputs;
use super::python::{NETWORK, PIP_OF_ROOT, python_cache};
use super::request::{INPUTS_CONTEXT, bind};
use super::{ComposeError, Composer, Decision, env_name};
use crate::dockerfile::{Copy, Instruction, Network, Purpose, Run, Script, Word, script_word};
use crate::project::manifests::Conda;
use crate::spec::{Accelerator, ImageSpec, PythonEnvironment};
use crate::tables::bases;

/// Where conda's packages are in the image.
pub(super) const PREFIX: &str = "/opt/conda";
/// The program that finds, fetches and lays them out.
pub(super) const PROGRAM: &str = include_str!("../../data/conda/conda.py");
/// The stage that does.
const STAGE: &str = "mlbuild-conda";
/// Its folder.
const WORK: &str = "/mlbuild-conda";
/// Most bytes of lines that one step writes: a word of a command may have 128 KiB.
const MOST_OF_STEP: usize = 48 << 10;

/// What is said to pip of the py-rattler that is used: its version and the hashes of its wheels for Linux.
pub(super) fn rattler() -> String {
    let rattler = &bases().rattler;
    let hashes = rattler
        .sha256
        .iter()
        .map(|hash| format!(" --hash=sha256:{hash}"));
    format!(
        "py-rattler=={}{}",
        rattler.version,
        hashes.collect::<String>()
    )
}

/// Whether the Python that packages are installed into is conda's: it is asked for, or packages of the index are,
/// which need one.
pub(super) fn brings_python(inputs: &Inputs, installs: bool) -> bool {
    let is_solved = |conda: &Conda| conda.pinned.is_empty() && installs;
    inputs
        .conda
        .as_ref()
        .is_some_and(|conda| conda.has("python") || is_solved(conda))
}

/// Where Python packages go beside those of conda; `None` where there are none.
pub(super) fn environment(
    spec: &ImageSpec,
    inputs: &Inputs,
    installs: bool,
) -> Option<PythonEnvironment> {
    let usual = match brings_python(inputs, installs) {
        true => PythonEnvironment::Base,
        false => PythonEnvironment::Venv,
    };
    installs.then(|| spec.python.environment.unwrap_or(usual))
}

/// Refuses another Python than the one that is pinned.
pub(super) fn check_python(spec: &ImageSpec, inputs: &Inputs) -> Result<(), ComposeError> {
    let (Some(asked), Some(conda)) = (&spec.python.version, &inputs.conda) else {
        return Ok(());
    };
    match conda.python() {
        Some(pinned) if pinned != asked.minor() => Err(ComposeError::conflict(
            format!(
                "Python {asked} is asked for, and {} has {pinned}",
                conda.file
            ),
            "ask for one of them",
        )),
        _ => Ok(()),
    }
}

impl Composer<'_> {
    /// The lines that the program reads; empty where nothing comes from conda's channels.
    pub(super) fn conda_lines(&self, decision: &Decision, inputs: &Inputs) -> Vec<String> {
        let Some(conda) = &inputs.conda else {
            return Vec::new();
        };
        let mut more = Vec::new();
        let version = self.spec.python.version.as_ref();
        let python = version.map_or("python".to_owned(), |version| format!("python={version}"));
        if decision.environment.is_some() {
            if !conda.has("python") {
                more.push(python.as_str());
            }
            if !conda.has("pip") {
                more.push("pip");
            }
        }
        let is_cuda = decision.accelerator == Accelerator::Cuda;
        let asked = self.spec.cuda.as_ref().map(|cuda| cuda.as_str());
        let cuda = is_cuda.then(|| asked.unwrap_or(&bases().cuda));
        conda.lines(&more, cuda)
    }

    /// The stage that lays out the prefix.
    pub(super) fn conda_stage(&mut self, decision: &Decision, inputs: &Inputs) {
        if inputs.conda.is_none() {
            return;
        }
        self.file.section(
            "Packages of conda's channels, each by its hash. Their own scripts are never run.",
        );
        self.file.push(Instruction::From {
            image: Word::variable(env_name("BASE_IMAGE")),
            alias: Some(STAGE.into()),
        });
        self.file.push(Instruction::User("root".into()));
        let mut lines = Vec::new();
        if !self.context.locked {
            lines.push(("request", self.conda_lines(decision, inputs)));
        }
        lines.push(("conda.py", PROGRAM.lines().map(str::to_owned).collect()));
        for (name, lines) in &lines {
            self.write_lines(&format!("{WORK}/{name}"), lines);
        }
        let (mut mounts, mut script) = (Vec::new(), Script::strict());
        script.lines("umask 022;");
        script.lines(PIP_OF_ROOT);
        script.lines(&check_base());
        if self.context.locked {
            mounts.push(bind(INPUTS_CONTEXT, Some("conda"), "/mlbuild/conda"));
            script.lines("python3 -m zipfile -e /mlbuild/conda/rattler/*.whl /tmp/rattler;");
        } else {
            mounts.push(python_cache());
            self.network_settings(decision.installer, &NETWORK, &mut mounts, &mut script);
            script.lines(&format!(
                "echo {} > /tmp/rattler.txt;\npython3 -m pip install -q --no-deps --require-hashes --target /tmp/rattler -r /tmp/rattler.txt;",
                script_word(&rattler())
            ));
        }
        let from = if self.context.locked {
            "/mlbuild/conda"
        } else {
            WORK
        };
        script.lines("export PYTHONPATH=/tmp/rattler PYTHONDONTWRITEBYTECODE=1;");
        if !self.context.locked {
            script.lines(&format!(
                "python3 {WORK}/conda.py find {WORK}/request {WORK};\npython3 {WORK}/conda.py fetch {WORK};"
            ));
        }
        let pip = match decision.environment {
            Some(PythonEnvironment::Base) => " pip",
            _ => "",
        };
        script.lines(&format!(
            "python3 {WORK}/conda.py install {from} {PREFIX}{pip};"
        ));
        let network = match self.context.locked {
            true => Network::None,
            false => Network::Default,
        };
        self.file.push(Instruction::Run(Run {
            mounts,
            network,
            script: script.finish(),
            purpose: Purpose::Other,
        }));
    }

    /// Writes a file of the stage line by line, in as many steps as it takes.
    fn write_lines(&mut self, path: &str, lines: &[String]) {
        let mut rest = lines;
        let mut sign = ">";
        while !rest.is_empty() {
            let mut bytes = 0;
            let fitting = rest.iter().take_while(|line| {
                bytes += line.len() + 8;
                bytes <= MOST_OF_STEP
            });
            let (these, others) = rest.split_at(fitting.count().max(1));
            rest = others;
            let mut script = Script::strict();
            script.lines(&format!("mkdir -p {WORK};\nprintf '%s\\n'"));
            for line in these {
                script.lines(&format!("  {}", script_word(line)));
            }
            script.lines(&format!("  {sign} {path};"));
            sign = ">>";
            self.run_alone(script, Purpose::Other);
        }
    }

    /// The prefix in the image, before all other programs.
    pub(super) fn conda_layer(&mut self, inputs: &Inputs) {
        if inputs.conda.is_none() {
            return;
        }
        self.file.section("The packages of conda's channels.");
        self.file.push(Instruction::Copy(Copy {
            from: Some(STAGE.into()),
            sources: vec![PREFIX.into()],
            destination: PREFIX.into(),
            ..Copy::default()
        }));
        let path = Word::literal(format!("{PREFIX}/bin:")).then_variable(env_name("PATH"));
        self.file.push(Instruction::Env(vec![
            (env_name("CONDA_PREFIX"), PREFIX.into()),
            (env_name("PATH"), path),
        ]));
    }
}

/// Stops on a base that has no Python for py-rattler, or something where the prefix goes.
fn check_base() -> String {
    format!(
        r#"
python3 -c 'import sys, pip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || {{
  echo "mlbuild: conda's packages are laid out by Python 3.10 or newer with pip, which this base lacks: choose a base of python:3.12-slim-bookworm" >&2; exit 1;
}};
if [ -e {PREFIX} ]; then
  echo "mlbuild: this base has {PREFIX} itself: choose one without conda" >&2; exit 1;
fi;
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ComposeContext, compose};

    fn composed(files: &[(&str, &str)], spec: &ImageSpec) -> Result<String, String> {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let context = ComposeContext {
            project: Some(dir.path()),
            ..ComposeContext::default()
        };
        let made = compose(spec, &context).map_err(|error| error.to_string());
        made.map(|made| made.text)
    }

    fn spec(file: &str) -> ImageSpec {
        let mut spec = ImageSpec {
            conda: Some(true),
            ..ImageSpec::default()
        };
        spec.python.requirements = vec![file.parse().unwrap()];
        spec
    }

    /// What a stranger's file says is data to the build, whatever it is.
    #[test]
    fn no_line_of_an_environment_becomes_a_command() {
        let odd = [
            "a'; touch /tmp/x #",
            "$(id)",
            "`id`",
            "\\",
            "a\nRUN id\n",
            "x && false",
            "--help",
            "a\"b",
            "${HOME}",
        ];
        let list: Vec<String> = odd
            .iter()
            .map(|odd| serde_json::json!(odd).to_string())
            .collect();
        let text = format!("channels: [c]\ndependencies: [{}]\n", list.join(", "));
        let text = composed(&[("environment.yml", &text)], &spec("environment.yml")).unwrap();
        let (_, step) = text
            .split_once("RUN set -eu; \\\n    mkdir -p /mlbuild-conda; \\\n")
            .unwrap();
        let (step, _) = step.split_once("> /mlbuild-conda/request").unwrap();
        // As a builder joins the lines.
        let output = std::process::Command::new("sh")
            .args(["-euc", &step.replace("\\\n", "")])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let written = String::from_utf8(output.stdout).unwrap();
        let said: Vec<String> = written
            .lines()
            .filter_map(|line| {
                let line: serde_json::Value = serde_json::from_str(line).unwrap();
                Some(line.get("spec")?.as_str()?.to_owned())
            })
            .collect();
        let odd: Vec<&str> = odd.iter().map(|odd| odd.trim()).collect();
        let said: Vec<&str> = said.iter().map(String::as_str).collect();
        assert_eq!(said.len(), odd.len(), "{said:?}");
        for (said, odd) in said.iter().zip(odd) {
            assert_eq!(*said, odd.split(" #").next().unwrap().trim());
        }
    }

    #[test]
    fn a_long_lock_is_written_in_several_steps() {
        let mut lock = String::from("version: 1\npackage:\n");
        for at in 0..1000 {
            let hash = "ab".repeat(32);
            lock += &format!(
                "- {{name: p{at}, manager: conda, platform: linux-64, url: \"https://h/c/linux-64/p{at}-1-0.conda\", hash: {{sha256: {hash}}}}}\n"
            );
        }
        let text = composed(&[("conda-lock.yml", &lock)], &spec("conda-lock.yml")).unwrap();
        let steps = text.matches(">> /mlbuild-conda/request").count();
        assert!((2..10).contains(&steps), "{steps}");
        assert_eq!(text.matches("\"subdir\":\"linux-64\"").count(), 1000);
        // Without a package of the index there is nothing to install besides.
        assert!(!text.contains("/opt/venv"), "{text}");
        let longest = text.split("RUN ").map(str::len).max();
        assert!(longest < Some(100 << 10), "{longest:?}");
    }

    #[test]
    fn what_cant_be_is_said() {
        let error = composed(&[("requirements.txt", "six\n")], &spec("requirements.txt"));
        assert!(
            error
                .unwrap_err()
                .contains("no file says which packages of them")
        );
        let mut spec = spec("environment.yml");
        spec.python.version = Some("3.12".parse().unwrap());
        let text = "dependencies: [python=3.11, hello]\n";
        let error = composed(&[("environment.yml", text)], &spec);
        let said = "Python 3.12 is asked for, and environment.yml has 3.11";
        assert!(error.unwrap_err().contains(said));
    }
}
