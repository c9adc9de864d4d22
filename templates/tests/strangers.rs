//! Names and values of a stranger's project: each stays the one word that it is, in the Dockerfile and in
//! what is printed about the folder.

use mlbuild_templates::project::detect;
use mlbuild_templates::{ComposeContext, compose};
use tempfile::TempDir;

fn project(files: &[(&str, &str)]) -> TempDir {
    let project = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = project.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    project
}

/// The Dockerfile, or why there is none.
fn dockerfile(files: &[(&str, &str)], spec: &str) -> String {
    let project = project(files);
    let context = ComposeContext {
        project: Some(project.path()),
        ..ComposeContext::default()
    };
    let composed = compose(&toml::from_str(spec).unwrap(), &context);
    let rendered = composed.map(|composed| composed.dockerfile.render());
    match rendered {
        Err(error) => error.to_string(),
        Ok(Err(error)) => error.to_string(),
        Ok(Ok(text)) => text,
    }
}

#[test]
fn what_a_manifest_says_stays_a_word_of_its_instruction() {
    let of_project = "python.requirements = ['pyproject.toml']";
    let depends = |more: &str| format!("[project]\nname = 'x'\nversion = '1'\n{more}");
    let marker = depends("dependencies = [\"six ; platform_version != 'a\\n# evil'\"]\n");
    let constraint = depends(
        "dependencies = ['six']\n[tool.uv]\nconstraint-dependencies = [\"six<2 ; platform_version != 'a\\n# evil'\"]\n",
    );
    let poetry = "[tool.poetry]\nname = 'x'\n[tool.poetry.dependencies]\npython = '^3.10'\nevil = { path = \"a\\n# evil\" }\n";
    let of_list = "python.requirements = ['requirements.txt']";
    let cache = |folder: &str| format!("run = [{{ command = 'true', cache = ['{folder}'] }}]");
    for (files, spec, shown) in [
        (
            &[("pyproject.toml", marker.as_str())][..],
            of_project.to_owned(),
            "six ; platform_version != ",
        ),
        (
            &[("pyproject.toml", constraint.as_str())],
            of_project.to_owned(),
            "six<2 ; platform_version != ",
        ),
        (
            &[("pyproject.toml", poetry)],
            of_project.to_owned(),
            "'/app/a # evil'",
        ),
        (
            &[
                ("requirements.txt", "-r --from=evil.example/x.txt\n"),
                ("--from=evil.example/x.txt", "six\n"),
            ],
            of_list.to_owned(),
            "COPY ./--from=evil.example/x.txt ",
        ),
        (
            &[
                ("requirements.txt", "-r --chown=1.txt\n"),
                ("--chown=1.txt", "six\n"),
            ],
            of_list.to_owned(),
            "COPY ./--chown=1.txt requirements.txt ",
        ),
        (
            &[],
            cache("/c --mount=type=secret,id=mlbuild-pip-conf"),
            "RUN --mount can't hold \"/c --mount=type=secret,id=mlbuild-pip-conf\"",
        ),
        (
            &[],
            cache("/c,type=bind,from=evil.example/x"),
            "RUN --mount can't hold",
        ),
        (
            &[],
            cache("/c"),
            "--mount=type=cache,target=/c,sharing=locked",
        ),
    ] {
        let text = dockerfile(files, &spec);
        assert!(text.contains(shown), "{shown}: {text}");
        for line in text.lines() {
            let line = line.trim_start();
            assert!(!line.starts_with("# evil"), "{text}");
            assert!(!line.starts_with("COPY --"), "{text}");
        }
    }
}

#[test]
fn patterns_without_a_folder_to_look_at_are_patterns_alone() {
    let spec = "python.requirements = ['$(id);x*.txt', 'requirements*.txt']";
    let composed = compose(&toml::from_str(spec).unwrap(), &ComposeContext::default()).unwrap();
    let text = composed.dockerfile.render().unwrap();
    let words = "in '/opt/mlbuild/$(id);x'*.txt /opt/mlbuild/requirements*.txt; do";
    assert!(text.contains(words), "{text}");
}

#[test]
fn names_of_files_begin_no_line_and_are_quoted_in_what_is_to_be_typed() {
    let next = "requirements-x\n\nnext:\n  curl evil.txt";
    let shell = "requirements-$(id).txt";
    let folder = project(&[
        ("requirements.txt", "six\n-r no\u{1b}[2J\n"),
        (next, "six\n"),
        (shell, "six\n"),
        ("Dockerfile.$(id)", "FROM x\n"),
    ]);
    let facts = detect(folder.path());
    let findings: Vec<String> = facts.findings.iter().map(ToString::to_string).collect();
    let all = [findings.clone(), facts.problems.clone()]
        .concat()
        .join("\n");
    for shown in [
        "requirements-x\\u000a\\u000anext:\\u000a  curl evil.txt: not used",
        "to use it: requirements = [\"requirements-$(id).txt\"] under [image]",
        "to build it as it is: dockerfile = \"Dockerfile.$(id)\" under [image]",
    ] {
        assert!(all.contains(shown), "{shown}: {all}");
    }
    assert!(findings.iter().all(|line| !line.contains('\n')), "{all}");
    assert!(!all.contains('\u{1b}'), "{all}");
}

#[test]
fn a_password_reaches_no_step() {
    let environment = |line: &str| format!("dependencies: [pip, {{pip: ['{line}', six]}}]\n");
    let said = "holds a password in a URL, which would stand in the image";
    for line in [
        "--extra-index-url https://me:hunter2@index.example/simple",
        "x @ git+https://hunter2@git.example/x.git",
        "https://me:hunter2@files.example/x-1-py3-none-any.whl",
    ] {
        let file = environment(line);
        let text = dockerfile(
            &[("environment.yml", &file)],
            "python.requirements = ['environment.yml']",
        );
        assert!(text.contains(said) && !text.contains("hunter2"), "{text}");
    }
    let package = "python.packages = ['x @ https://me:hunter2@files.example/x-1.tar.gz']";
    let text = dockerfile(&[], package);
    assert!(text.contains(said) && !text.contains("hunter2"), "{text}");
    // What pip fills in itself, and the name that everybody has, are none.
    let file = environment("x @ git+ssh://git@git.example/x.git");
    let text = dockerfile(
        &[("environment.yml", &file)],
        "python.requirements = ['environment.yml']",
    );
    assert!(!text.contains(said), "{text}");
}

#[test]
fn a_password_is_refused_wherever_a_file_names_an_index() {
    let said = "holds a password in a URL, which would stand in the image";
    let list = "python.requirements = ['requirements.txt']";
    let project = "python.requirements = ['pyproject.toml']";
    let head = "[project]\nname = 'x'\nversion = '1'\ndependencies = ['six']\n";
    let with = |more: &str| format!("{head}{more}");
    let uv = with("[[tool.uv.index]]\nurl = 'https://me:hunter2@i.corp.dev/simple'\n");
    let poetry =
        with("[[tool.poetry.source]]\nname = 'p'\nurl = 'https://hunter2@i.corp.dev/simple'\n");
    let pylock = "[[packages]]\nname = 'six'\nversion = '1'\nindex = 'https://me:hunter2@i.corp.dev/simple'\n";
    for (file, text, spec) in [
        (
            "requirements.txt",
            "--extra-index-url https://me:hunter2@i.corp.dev/\nsix\n",
            list,
        ),
        // The second address of a line, a name that is filled in beside a password, a token.
        (
            "requirements.txt",
            "-i https://a.corp.dev/ --extra-index-url https://me:hunter2@i.corp.dev/\nsix\n",
            list,
        ),
        (
            "requirements.txt",
            "-i https://${ME}:hunter2@i.corp.dev/\nsix\n",
            list,
        ),
        (
            "requirements.txt",
            "-i https://hunter2@i.corp.dev/\nsix\n",
            list,
        ),
        ("pyproject.toml", uv.as_str(), project),
        ("pyproject.toml", poetry.as_str(), project),
        ("pylock.toml", pylock, "python.pylock = 'pylock.toml'"),
    ] {
        let text = dockerfile(&[(file, text)], spec);
        assert!(
            text.contains(said) && !text.contains("hunter2"),
            "{file}: {text}"
        );
        assert!(text.contains(&format!("{file}:")), "{text}");
    }
    let other = with("[tool.x]\ndatabase = 'postgres://me:hunter2@localhost/test'\n");
    let filled = "-i https://${ME}:${TOKEN}@i.corp.dev/\nsix\n";
    for (file, text, spec) in [
        ("pyproject.toml", other.as_str(), project),
        ("requirements.txt", filled, list),
        (
            "requirements.txt",
            "x @ git+ssh://git@g.corp.dev/x.git\n",
            list,
        ),
    ] {
        let text = dockerfile(&[(file, text)], spec);
        assert!(!text.contains(said), "{file}: {text}");
    }
}

#[test]
fn a_script_of_any_name_is_one_word_of_what_is_to_be_typed() {
    let script = "#!/bin/sh\npip install six\n";
    let folder = project(&[("$(id)'\".sh", script), ("-c.sh", script)]);
    let findings = detect(folder.path()).findings;
    let commands: Vec<String> = findings
        .iter()
        .filter_map(|finding| {
            let next = finding.next.as_ref()?.to_string();
            let from = next.find("run = [")?;
            let table: toml::Table = next[from..].split(" under [image]").next()?.parse().ok()?;
            Some(table["run"][0]["command"].as_str()?.to_owned())
        })
        .collect();
    assert_eq!(commands.len(), 2, "{findings:?}");
    for (command, name) in commands.iter().zip(["$(id)'\".sh", "-c.sh"]) {
        let words = command.strip_prefix("sh ").unwrap();
        let line = format!("printf %s {words}");
        let read = std::process::Command::new("sh")
            .args(["-c", &line])
            .output();
        let read = String::from_utf8(read.unwrap().stdout).unwrap();
        assert_eq!(read.trim_start_matches("./"), name, "{command}");
        assert!(!words.starts_with('-'), "{command}");
    }
}

#[test]
fn a_package_of_the_distribution_is_no_option_of_apt() {
    for evil in [
        "-oDPkg::Pre-Invoke::=id",
        "--option=APT::Update::Pre-Invoke::=id",
        "curl -oDPkg::Pre-Invoke::=id",
        "$(id)",
        "./evil.deb",
    ] {
        let cog = format!("build:\n  system_packages: ['{evil}', ffmpeg]\n");
        let text = dockerfile(&[("cog.yaml", &cog)], "python.requirements = ['cog.yaml']");
        assert!(text.contains("ARG APT_PACKAGES=ffmpeg\n"), "{evil}: {text}");
        assert!(!text.contains(evil), "{evil}: {text}");
    }
}

/// Whatever a manifest names, nothing above its folder is read: its lines would stand in an error or in
/// the image.
#[test]
fn no_manifest_leads_out_of_its_folder() {
    let of = |name: &str| format!("python.requirements = ['{name}']");
    let poetry =
        "[tool.poetry]\nname = 'x'\n[tool.poetry.dependencies]\nsecret = { path = '../secret' }\n";
    let dynamic = "[project]\nname = 'x'\ndynamic = ['dependencies']\n[tool.setuptools.dynamic]\ndependencies = { file = '../secret.txt' }\n";
    for (file, text) in [
        ("cog.yaml", "build:\n  python_requirements: ../secret.txt\n"),
        (
            "cog.yaml",
            "build:\n  python_requirements: out/secret.txt\n",
        ),
        (
            "environment.yml",
            "dependencies: [{pip: ['-r ../secret.txt']}]\n",
        ),
        (
            "environment.yml",
            "dependencies: [{pip: ['-r link.txt']}]\n",
        ),
        (
            "setup.cfg",
            "[options]\ninstall_requires = file: ../secret.txt\n",
        ),
        (
            "setup.py",
            "setup(install_requires=read('../secret.txt'))\n",
        ),
        ("pyproject.toml", dynamic),
        ("pyproject.toml", poetry),
        ("pyproject.toml", &poetry.replace("../", "out/")),
        ("Pipfile", "[packages]\nsecret = { path = '../secret' }\n"),
        ("Pipfile", "[packages]\nsecret = { path = 'out/secret' }\n"),
    ] {
        let outer = project(&[
            ("secret.txt", "hunter2 is no requirement\n"),
            (
                "secret/pyproject.toml",
                "[project]\nname = 'secret'\ndependencies = ['hunter2']\n",
            ),
            (&format!("project/{file}"), text),
        ]);
        let folder = outer.path().join("project");
        std::os::unix::fs::symlink("..", folder.join("out")).unwrap();
        std::os::unix::fs::symlink("../secret.txt", folder.join("link.txt")).unwrap();
        let context = ComposeContext {
            project: Some(&folder),
            ..ComposeContext::default()
        };
        let composed = compose(&toml::from_str(&of(file)).unwrap(), &context);
        let said = match composed {
            Err(error) => error.to_string(),
            Ok(composed) => composed.dockerfile.render().unwrap(),
        };
        assert!(
            said.contains("lies outside the build context"),
            "{file}: {text}: {said}"
        );
        assert!(!said.contains("hunter2"), "{file}: {text}: {said}");
        let facts = detect(&folder);
        assert!(!format!("{facts:?}").contains("hunter2"), "{facts:?}");
    }
}

/// Levels that no person writes, each of which would take a piece of the stack.
#[test]
fn what_takes_in_itself_without_end_is_refused() {
    let count = 20_000;
    let levels = |line: fn(usize) -> String| -> String { (0..count).map(line).collect() };
    let head = "[project]\nname = 'x'\nversion = '1'\n";
    let groups = levels(|n| format!("g{n} = [{{include-group = 'g{}'}}]\n", n + 1));
    let groups = format!("{head}[dependency-groups]\n{groups}");
    let extras = levels(|n| format!("e{n} = ['x[e{}]']\n", n + 1));
    let extras = format!("{head}[project.optional-dependencies]\n{extras}");
    let few = |text: &str| -> String {
        let lines = text.lines().take(40);
        lines.map(|line| format!("{line}\n")).collect()
    };
    let cfg = levels(|n| format!("e{n} =\n  six\n"));
    let cfg = format!("[options.extras_require]\n{cfg}");
    for (file, text, choose, said) in [
        (
            "pyproject.toml",
            &groups,
            "groups = ['g0']",
            "more than 1000 groups",
        ),
        (
            "pyproject.toml",
            &few(&groups),
            "groups = ['g0']",
            "more than 20 deep",
        ),
        (
            "pyproject.toml",
            &extras,
            "extras = ['e0']",
            "more than 1000 extras",
        ),
        (
            "pyproject.toml",
            &few(&extras),
            "extras = ['e0']",
            "more than 20 deep",
        ),
        (
            "setup.cfg",
            &cfg,
            "extras = ['e0']",
            "more than 1000 extras",
        ),
    ] {
        let spec = format!("python.requirements = ['{file}']\npython.{choose}");
        let refused = dockerfile(&[(file, text)], &spec);
        assert!(refused.contains(said), "{file}: {refused}");
    }
    // Projects that name one another.
    let folders: Vec<(String, String)> = (0..3000)
        .map(|n| {
            (
                format!("p{n}/setup.py"),
                format!("setup(install_requires=['./p{}'])\n", n + 1),
            )
        })
        .collect();
    let mut files: Vec<(&str, &str)> = folders
        .iter()
        .map(|(n, t)| (n.as_str(), t.as_str()))
        .collect();
    files.push(("requirements.txt", "./p0\n"));
    detect(project(&files).path());
}

#[test]
fn numbers_and_words_at_the_end_of_their_range_are_no_panic() {
    let poetry =
        "[tool.poetry]\nname = 'x'\n[tool.poetry.dependencies]\nsix = '^18446744073709551615'\n";
    let torch = "--extra-index-url https://x.example/whl/cu€€\ntorch\n";
    for (file, text) in [("pyproject.toml", poetry), ("requirements.txt", torch)] {
        let text = dockerfile(
            &[(file, text)],
            &format!("python.requirements = ['{file}']\ngpu = 'cuda'"),
        );
        assert!(!text.is_empty());
    }
}

/// Time of the processor that a text of `count` lines takes.
fn taken(file: &str, text: &str) -> i64 {
    use rustix::time::{ClockId, clock_gettime};
    let folder = project(&[
        (file, text),
        (
            "pyproject.toml",
            "[project]\nname = 'x'\nversion = '1'\ndependencies = ['six']\n",
        ),
    ]);
    if file == "pyproject.toml" {
        std::fs::write(folder.path().join(file), text).unwrap();
    }
    let before = clock_gettime(ClockId::ThreadCPUTime);
    let facts = detect(folder.path());
    let after = clock_gettime(ClockId::ThreadCPUTime);
    assert!(!facts.findings.is_empty(), "{file}");
    (after.tv_sec - before.tv_sec) * 1_000_000_000 + after.tv_nsec - before.tv_nsec
}

/// Eight times as much takes about eight times as long, and not sixty-four times.
#[test]
fn many_lines_take_no_more_than_their_number() {
    type Text = fn(usize) -> String;
    let kinds: [(&str, usize, Text); 5] = [
        ("poetry.lock", 2000, |count| {
            (0..count)
                .map(|n| format!("[[package]]\nname = 'p{n}'\nversion = '1'\n"))
                .collect()
        }),
        ("pyproject.toml", 2000, |count| {
            let lines: String = (0..count).map(|n| format!("'package{n}',\n")).collect();
            format!("[project]\nname = 'x'\nversion = '1'\ndependencies = [\n{lines}]\n")
        }),
        ("pyproject.toml", 500, |count| {
            let lines: String = (0..count).map(|n| format!("'p{n}',\n")).collect();
            let sources: String = (0..count)
                .map(|n| format!("q{n} = {{ url = 'https://x.example/q' }}\n"))
                .collect();
            format!(
                "[project]\nname = 'x'\nversion = '1'\ndependencies = [\n{lines}]\n[tool.uv.sources]\n{sources}"
            )
        }),
        ("apt.txt", 2000, |count| {
            (0..count).map(|n| format!("--p{n}\n")).collect()
        }),
        ("setup.py", 500, |count| {
            let lines: String = (0..count).map(|n| format!("'p{n}',\n")).collect();
            format!("setup(install_requires=[\n{lines}])\n")
        }),
    ];
    for (file, few, text) in kinds {
        taken(file, &text(few));
        let (less, more) = (taken(file, &text(few)), taken(file, &text(few * 8)));
        println!("{file}: {few} in {less} ns, {} in {more} ns", few * 8);
        assert!(more < less * 24, "{file}: {less} ns, then {more} ns");
    }
}
