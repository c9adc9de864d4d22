//! The stage that compiles: the image's own base with a compiler, and with NVIDIA's toolkit where nvcc is
//! called. Wheels are built there, and only they reach the image.

use super::compiled::{Compiled, Line, Package, has_nvcc, toolkit};
use super::inputs::Inputs;
use super::locked::locked_mounts;
use super::python::NETWORK;
use super::python::{INPUTS, PIP_OF_ROOT, python_cache};
use super::{Composer, Decision, env_name};
use crate::dockerfile::{
    Copy, Instruction, Mount, Purpose, Script, Word, script_operand, script_word,
};
use crate::spec::{Accelerator, ImageSpec, Installer, PythonEnvironment};

/// The toolkit's release and image, where nvcc is called and the base hasn't it.
pub(super) fn toolkit_of(spec: &ImageSpec, decision: &Decision) -> Option<(String, String)> {
    let is_cuda = decision.accelerator == Accelerator::Cuda;
    if !decision.compiled.nvcc || !is_cuda || has_nvcc(decision.base.as_str()) {
        return None;
    }
    let asked = spec.cuda.as_ref().map(|cuda| cuda.as_str());
    Some(toolkit(asked.or(decision.cuda.as_deref())))
}

/// The stage with NVIDIA's toolkit.
const CUDA_STAGE: &str = "mlbuild-cuda";
/// The stage that holds the compiler and the packages' wheels.
pub(super) const WHEELS_STAGE: &str = "mlbuild-wheels";
/// The stage that compiles the project itself, which every edit of the code runs anew.
pub(super) const PROJECT_STAGE: &str = "mlbuild-project";
/// Where wheels lie: `found/` of packages from an index, `asked/` of addresses, `project/`.
pub(super) const WHEELS: &str = "/mlbuild-wheels";
/// Where builds run.
const BUILD: &str = "/opt/mlbuild-build";

impl Composer<'_> {
    /// The stages that compile, where anything is compiled.
    pub(super) fn builder_stages(&mut self, decision: &Decision, inputs: &Inputs) {
        let compiled = &decision.compiled;
        if self.context.locked {
            return self.locked_builder_stages(decision, inputs);
        }
        if compiled.is_empty() {
            return;
        }
        let cuda = self.toolkit_stage(decision);
        self.file.section(
            "A compiler, and the wheels of packages that publish none. Only the wheels reach the image.",
        );
        self.begin(Word::variable(env_name("BASE_IMAGE")), WHEELS_STAGE);
        self.compiler(decision);
        self.copy_inputs(inputs);
        self.wheels_of_packages(decision, inputs, cuda.as_deref());
        if !compiled.projects.is_empty() {
            self.begin_project();
            self.wheels_of_projects(decision, inputs, cuda.as_deref());
        }
    }

    /// The same from the recorded files alone: a compiler is among them where anything is compiled.
    fn locked_builder_stages(&mut self, decision: &Decision, inputs: &Inputs) {
        if !self.context.locked_builds {
            return;
        }
        let compiled = &decision.compiled;
        let cuda = self.toolkit_stage(decision);
        self.file.section(
            "A compiler, and the wheels of packages that publish none. Only the wheels reach the image.",
        );
        self.begin(Word::variable(env_name("BASE_IMAGE")), WHEELS_STAGE);
        self.locked_apt("build");
        self.build_arguments(decision);
        let (mut mounts, mut script) = self.prepare_build(decision, cuda.as_deref());
        mounts.extend(locked_mounts());
        script.lines(&format!(
            "export PYTHONDONTWRITEBYTECODE=1;\npython3 -m venv{} {BUILD}/venv;\nmkdir -p {WHEELS}/found /opt/mlbuild-lists;\ncd /opt/mlbuild-lists;",
            of_base(decision)
        ));
        let pip = format!("{BUILD}/venv/bin/python -m pip");
        let files = "--no-index --no-deps --find-links /mlbuild/python/wheels";
        let is_open = |package: &&Package| package.is_open;
        let open: Vec<&str> = compiled
            .packages
            .iter()
            .filter(is_open)
            .map(|package| package.name.as_str())
            .collect();
        if !compiled.needs.is_empty() {
            script.lines(&format!(
                "{pip} install -q {files} --require-hashes -r /mlbuild/python/requirements.txt;\nif [ -s /mlbuild/python/builders.txt ]; then {pip} install -q {files} --require-hashes -r /mlbuild/python/builders.txt; fi;"
            ));
        }
        let names = if open.is_empty() {
            "-".to_owned() // no package's name
        } else {
            open.join("|")
        };
        script.lines(&format!(
            r#"
grep -E '^({names})==' /mlbuild/python/sources.txt > open.txt || true;
grep -vE '^({names})==' /mlbuild/python/sources.txt > closed.txt || true;
if [ -s closed.txt ]; then {pip} wheel -q {files} --use-pep517 -w {WHEELS}/found --require-hashes -r closed.txt; fi;
if [ -s open.txt ]; then {pip} wheel -q {files} --use-pep517 --no-build-isolation -w {WHEELS}/found --require-hashes -r open.txt; fi;
"#
        ));
        self.run_offline(mounts, script, Purpose::Other);
        if compiled.projects.is_empty() || inputs.local.is_empty() {
            return;
        }
        self.begin_project();
        self.build_arguments(decision);
        let (mut mounts, mut script) = self.prepare_build(decision, cuda.as_deref());
        mounts.extend(locked_mounts());
        self.version_of_repository(inputs, &format!("{BUILD}/code"), &mut script);
        self.build_projects(
            decision,
            "--no-index --find-links /mlbuild/python/wheels",
            &mut script,
        );
        self.run_offline(mounts, script, Purpose::Other);
    }

    fn begin_project(&mut self) {
        self.file.section("The project's own wheels.");
        self.begin(WHEELS_STAGE.into(), PROJECT_STAGE);
        self.file.push(Instruction::Copy(Copy {
            sources: vec![".".into()],
            destination: format!("{BUILD}/code/").into(),
            ..Copy::default()
        }));
    }

    fn begin(&mut self, image: Word, name: &str) {
        self.file.push(Instruction::From {
            image,
            alias: Some(name.into()),
        });
        self.file.push(Instruction::User("root".into()));
    }

    /// The toolkit's release, where nvcc is called and the base hasn't it.
    fn toolkit_stage(&mut self, decision: &Decision) -> Option<String> {
        let (release, image) = toolkit_of(self.spec, decision)?;
        self.file
            .section("NVIDIA's compiler; nothing of it reaches the image.");
        self.file.push(Instruction::From {
            image: Word::variable(env_name("CUDA_IMAGE")),
            alias: Some(CUDA_STAGE.into()),
        });
        self.file.instructions.insert(
            self.toolkit_argument(),
            Instruction::Arg {
                name: env_name("CUDA_IMAGE"),
                default: Some(image.as_str().into()),
            },
        );
        Some(release)
    }

    /// The place of an ARG that FROM reads: before the first FROM.
    fn toolkit_argument(&self) -> usize {
        let mut instructions = self.file.instructions.iter();
        let argument = instructions.position(|i| matches!(i, Instruction::Arg { .. }));
        argument.map_or(0, |at| at + 1)
    }

    /// The compiler and Python's headers, as far as the base lacks them.
    fn compiler(&mut self, decision: &Decision) {
        let mut packages = decision.apt.clone();
        packages.extend(decision.compiled.apt.iter().cloned());
        let packages: Vec<String> = packages.into_iter().collect();
        let mut script = Script::strict();
        script.lines(
            r#"
packages="$BUILD_PACKAGES";
if ! command -v c++ >/dev/null || ! command -v make >/dev/null; then packages="$packages build-essential"; fi;
python3 -c 'import ensurepip, venv' >/dev/null 2>&1 || packages="$packages python3 python3-venv";
python3 -c 'import os, sysconfig; os.stat(sysconfig.get_path("include") + "/Python.h")' 2>/dev/null || packages="$packages python3-dev";
if [ -z "$packages" ]; then exit 0; fi;
if ! command -v apt-get >/dev/null; then
  echo "mlbuild: this base has no apt-get to install $packages: choose a Debian or Ubuntu base" >&2; exit 1;
fi;
rm -f /etc/apt/apt.conf.d/docker-clean;
export DEBIAN_FRONTEND=noninteractive;
"#,
        );
        let (mounts, options) = self.apt_mounts(&mut script);
        script.lines(&format!(
            r#"
apt-get{options} update -q;
apt-get{options} install -q -y --no-install-recommends $packages;
"#
        ));
        self.file.push(Instruction::Arg {
            name: env_name("BUILD_PACKAGES"),
            default: Some(packages.join(" ").into()),
        });
        self.run(mounts, script, Purpose::Other);
    }

    /// What every build is given: settings of the network, a cache of its own kind, and how many
    /// compilers may run.
    fn prepare_build(&self, decision: &Decision, cuda: Option<&str>) -> (Vec<Mount>, Script) {
        let mut mounts = Vec::new();
        if !self.context.locked {
            mounts.push(python_cache());
        }
        let mut script = Script::strict();
        script.lines("umask 022;");
        script.lines(PIP_OF_ROOT);
        self.network_settings(decision.installer, &NETWORK, &mut mounts, &mut script);
        script.lines(
            r#"
# As many compilers as there are processors, and memory for: 4 GB each.
export MAX_JOBS="${MAX_JOBS:-$(awk -v cores="$(nproc)" '/^MemAvailable/ { jobs = int($2 / 4194304) } END { print (jobs < 1 ? 1 : jobs < cores ? jobs : cores) }' /proc/meminfo)}";
export MAKEFLAGS="-j$MAX_JOBS" CMAKE_BUILD_PARALLEL_LEVEL="$MAX_JOBS";
"#,
        );
        if let Some(release) = cuda {
            mounts.push(Mount::Bind {
                from: Some(CUDA_STAGE.into()),
                source: Some(format!("/usr/local/cuda-{release}")),
                target: "/opt/cuda".into(),
            });
            script.lines("export CUDA_HOME=/opt/cuda PATH=\"/opt/cuda/bin:$PATH\";");
            if release.starts_with("11.") {
                script.lines("export NVCC_APPEND_FLAGS=-allow-unsupported-compiler;");
            }
        }
        if decision.compiled.nvcc {
            // No GPU is seen while an image is built.
            script.lines("export FORCE_CUDA=1;");
        }
        (mounts, script)
    }

    /// A build's arguments: not part of the image, and so no variables of its environment.
    fn build_arguments(&mut self, decision: &Decision) {
        self.file.push(Instruction::Arg {
            name: env_name("MAX_JOBS"),
            default: None,
        });
        if decision.compiled.nvcc {
            let target = self.spec.target.compute_capability.as_ref();
            self.file.push(Instruction::Arg {
                name: env_name("TORCH_CUDA_ARCH_LIST"),
                default: target.map(|capability| capability.as_str().into()),
            });
        }
    }

    fn wheels_of_packages(&mut self, decision: &Decision, inputs: &Inputs, cuda: Option<&str>) {
        let compiled = &decision.compiled;
        self.build_arguments(decision);
        let (mounts, mut script) = self.prepare_build(decision, cuda);
        self.check_version(&mut script);
        script.lines(&format!(
            "python3 -m venv{} {BUILD}/venv;\nmkdir -p {WHEELS}/found {WHEELS}/asked {INPUTS};\ncd {INPUTS};",
            of_base(decision)
        ));
        self.index_options(inputs, &mut script);
        if !compiled.needs.is_empty() {
            self.install_needs(decision, inputs, &mut script);
        }
        script.lines(&keyed_cache());
        let constraints: String = inputs
            .constraint_files
            .iter()
            .map(|file| format!(" -c {}", script_word(file)))
            .collect();
        for (folder, is_address) in [("found", false), ("asked", true)] {
            for is_open in [false, true] {
                let of_kind = |p: &&Package| p.is_address == is_address && p.is_open == is_open;
                let packages: Vec<&Package> = compiled.packages.iter().filter(of_kind).collect();
                if packages.is_empty() {
                    continue;
                }
                script.lines("cp options.txt these.txt;");
                for package in packages {
                    script.lines(&written(package));
                }
                let isolation = if is_open { " --no-build-isolation" } else { "" };
                script.lines(&format!(
                    "{BUILD}/venv/bin/python -m pip wheel -q --no-deps --use-pep517{isolation}{constraints} -w {WHEELS}/{folder} -r these.txt;"
                ));
            }
        }
        self.run(mounts, script, Purpose::Other);
    }

    fn wheels_of_projects(&mut self, decision: &Decision, inputs: &Inputs, cuda: Option<&str>) {
        self.build_arguments(decision);
        let (mounts, mut script) = self.prepare_build(decision, cuda);
        self.version_of_repository(inputs, &format!("{BUILD}/code"), &mut script);
        self.build_projects(decision, "--no-cache-dir", &mut script);
        self.run(mounts, script, Purpose::Other);
    }

    fn build_projects(&self, decision: &Decision, flags: &str, script: &mut Script) {
        let compiled = &decision.compiled;
        script.lines(&format!("mkdir -p {WHEELS}/project;"));
        let folders: Vec<String> = compiled
            .projects
            .iter()
            .map(|(folder, _)| match folder.as_str() {
                "." => format!("{BUILD}/code"),
                folder => script_word(&format!("{BUILD}/code/{folder}")),
            })
            .collect();
        let isolation = if compiled.open_projects {
            " --no-build-isolation"
        } else {
            ""
        };
        script.lines(&format!(
            "{BUILD}/venv/bin/python -m pip wheel -q --no-deps --use-pep517 {flags}{isolation} -w {WHEELS}/project {};",
            folders.join(" ")
        ));
    }

    /// The lines of the project's lists that say where packages come from.
    fn index_options(&self, inputs: &Inputs, script: &mut Script) {
        script.lines(": > options.txt;");
        if !inputs.has_index {
            return;
        }
        let lists: Vec<String> = inputs
            .files
            .iter()
            .filter(|file| file.ends_with(".txt") || file.ends_with(".in"))
            .map(|file| script_operand(file))
            .collect();
        if !lists.is_empty() {
            script.lines(&format!(
                "grep -hE '^ *(-i|-f|--pre|--no-index|--(extra-)?index-url|--find-links|--trusted-host)([ =]|$)' {} >> options.txt || true;",
                lists.join(" ")
            ));
        }
        for line in inputs.lines.iter().filter(|line| line.starts_with('-')) {
            script.lines(&format!(
                "printf '%s\\n' {} >> options.txt;",
                script_word(line)
            ));
        }
    }

    /// What builds without isolation import: from where, and in which version, the image has it.
    fn install_needs(&self, decision: &Decision, inputs: &Inputs, script: &mut Script) {
        script.lines("cp options.txt needs.txt;\nprintf '%s\\n'");
        let needs: Vec<String> = decision
            .compiled
            .needs
            .iter()
            .map(|n| script_word(n))
            .collect();
        script.lines(&format!("  {}", needs.join(" ")));
        script.lines("  >> needs.txt;");
        let python = format!("{BUILD}/venv/bin/python");
        let what = ["-r".to_owned(), "needs.txt".to_owned()];
        match decision.installer {
            Installer::Pip => {
                script.lines(&format!("{python} -m pip install -q {};", what.join(" ")));
            }
            _ => {
                self.fetch_uv(&python, script);
                let flags = self.uv_flags(decision, inputs);
                script.lines(&format!(
                    "\"$uv\" pip install -q --python {python}{flags} {};",
                    what.join(" ")
                ));
            }
        }
    }
}

impl Compiled {
    /// What a step that installs the wheels mounts.
    pub(super) fn mount(stage: &str) -> Mount {
        Mount::Bind {
            from: Some(stage.into()),
            source: Some(WHEELS.into()),
            target: WHEELS.into(),
        }
    }
}

/// Builds see the packages of a base that holds them.
fn of_base(decision: &Decision) -> &'static str {
    match decision.environment {
        Some(PythonEnvironment::Base) => " --system-site-packages",
        _ => "",
    }
}

/// The lines that ask for a package, added to the list of those that are built.
fn written(package: &Package) -> String {
    match &package.line {
        Line::OfFile(span) => format!(
            "sed -n '{},{}p' {} >> these.txt;",
            span.first,
            span.last,
            script_operand(&span.file)
        ),
        Line::Text(text) => format!("printf '%s\\n' {} >> these.txt;", script_word(text)),
    }
}

/// Wheels are kept for the same distribution, Python, imported packages and compiler alone: their names
/// don't say what they were built with.
fn keyed_cache() -> String {
    format!(
        r#"
key=$({{ cat /etc/os-release; python3 -VV; {BUILD}/venv/bin/python -m pip freeze; c++ --version; nvcc --version; echo "${{TORCH_CUDA_ARCH_LIST:-}}"; }} 2>/dev/null | sha256sum | cut -c1-16);
export PIP_CACHE_DIR="/root/.cache/mlbuild-wheels/$key";
"#
    )
}
