//! What a person can get wrong before any builder is asked: one error that says
//! what, where and what to type next; exit code 2; nothing written.

use crate::support::mlbuild::Project;

const FILES: [(&str, &str); 2] = [("requirements.txt", "numpy\n"), ("train.py", "")];

/// Runs each command, which must be refused, and joins what is said.
#[track_caller]
fn refusals(project: &Project, commands: &[&[&str]]) -> String {
    let before = project.names();
    let mut said = String::new();
    for command in commands {
        let args = [&["image"][..], command].concat();
        let ran = project.run(&args);
        said += &format!("$ {}\n{}", shown(&args), project.filtered(ran.refusal(2)));
        assert_eq!(project.names(), before, "{command:?}");
    }
    said
}

fn shown(args: &[&str]) -> String {
    let words: Vec<_> = args
        .iter()
        .map(|arg| {
            if arg.is_empty() || arg.contains(|c: char| !(c.is_ascii_graphic())) {
                format!("{arg:?}")
            } else {
                (*arg).to_owned()
            }
        })
        .collect();
    words.join(" ")
}

#[test]
fn variants_that_no_image_can_be_made_of() {
    let with = |text: &str| Project::new(&[FILES[0], ("mlbuild.toml", text)]);
    let declared = "[image]\ntag = \"r.example/a:v1\"\n[variant.cuda]\n[variant.cpu]\n";
    let commands: [&[&str]; 3] = [
        &["--variant", "cdua"],
        &["--variant", "quantum", "--push"],
        &["--variant", "", "--explain"],
    ];
    let mut said = refusals(&with(declared), &commands);
    said += &refusals(&with(""), &[&["--variant", "cuda"]]);
    let long = "x".repeat(121);
    let rest: &[&[&str]] = &[&["--print", "plan"]];
    for text in [
        "[image]\ntag = \"r.example/a:v1\"\n[variant.cpu]\ntag = \"r.example/a:v1\"\n",
        "default_variant = \"a\"\n[variant.a]\ntag = \"r.example/a:v1\"\n[variant.b]\ntag = [\"r.example/a:v2\", \"r.example/a:v1\"]\n",
        &format!(
            "default_variant = \"cpu\"\n[image]\ntag = \"r.example/a:v123456\"\n[variant.{long}]\n[variant.cpu]\n"
        ),
        "default_variant = \"cup\"\n[variant.cpu]\n",
        "[image]\n[variant.cpu]\npackage = [\"numpy\"]\n",
        "[variant.\"c pu\"]\n",
    ] {
        said += &refusals(&with(text), rest);
    }
    insta::assert_snapshot!(said, @r#"
    $ image --variant cdua
    error: --variant cdua: mlbuild.toml declares no variant `cdua`
      hint: did you mean `cuda`? There are cpu, cuda
    $ image --variant quantum --push
    error: --variant quantum: mlbuild.toml declares no variant `quantum`
      hint: there are cpu, cuda
    $ image --variant "" --explain
    error: --variant : mlbuild.toml declares no variant ``
      hint: there are cpu, cuda
    $ image --variant cuda
    error: --variant cuda: mlbuild.toml declares no variant `cuda`
      hint: declare it with a table [variant.NAME]
    $ image --print plan
    error: r.example/a:v1 would be the image of [image] and of the variant cpu
      hint: give them names of their own: tag = "…" in [variant.NAME]
    $ image --print plan
    error: r.example/a:v1 would be the image of the variant a and of the variant b
      hint: give them names of their own: tag = "…" in [variant.NAME]
    $ image --print plan
    error: tag v123456-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx: a tag has 128 characters at most, and this ends in the variant's name
      hint: give the variant a name of its own: tag = "…" in [variant.NAME]
    $ image --print plan
    error: /project/mlbuild.toml:1:19: there is no variant `cup`
      hint: did you mean `cpu`? There are cpu
    $ image --print plan
    error: /project/mlbuild.toml:3:1: unknown key `package`
      hint: did you mean `packages`?
    $ image --print plan
    error: /project/mlbuild.toml:1:10: `c pu` can't name a variant: its name is a part of the image's tag, of letters, digits, `_`, `.` and `-`, and begins with none of the last two
    "#);
}

#[test]
fn a_variants_image_has_its_name_in_the_tag() {
    let text = "[image]\ntag = [\"r.example/a:v1\", \"r.example/a\"]\n[variant.cuda]\n[variant.cpu]\ntag = \"r.example/cpu:v1\"\n";
    let project = Project::new(&[FILES[0], ("mlbuild.toml", text)]);
    for (words, named) in [
        (&[][..], "r.example/a:v1"),
        (&["--variant", "cuda"], "r.example/a:v1-cuda"),
        (&["--variant", "cpu"], "r.example/cpu:v1"),
        (
            &["--variant", "cuda", "-t", "b:2"],
            "docker.io/library/b:2-cuda",
        ),
        (
            &["--variant", "cuda", "-t", "b:2-cuda"],
            "docker.io/library/b:2-cuda",
        ),
        (
            &["--variant", "cpu", "-t", "b"],
            "docker.io/library/b:latest-cpu",
        ),
    ] {
        let all = [&["image"], words, &["--print", "lock"]].concat();
        // There is none yet: its name is said.
        let ran = project.run(&all);
        assert!(
            ran.stderr.contains(&format!("no entry for {named}\n")),
            "{words:?}: {ran:?}"
        );
    }
}

#[test]
fn names_that_arent_known() {
    let project = Project::new(&FILES);
    insta::assert_snapshot!(refusals(&project, &[
        &["--template", "pyton"],
        &["--template", "quantum"],
        &["-f", "Dockerfil"],
        &["--base", "Not A Name"],
        &["-t", "me/UPPER:v1"],
        &["-t", "a:v1@sha256:0000000000000000000000000000000000000000000000000000000000000000"],
        &["--push"],
        &["--platform", "linux/quantum!"],
        &["--allow", "everything"],
        &["--launch-config", "missing.json"],
    ]), @r#"
    $ image --template pyton
    error: --template: there is no template `pyton`, nor a file or a folder with a Dockerfile of that name
      hint: did you mean `python`?
    $ image --template quantum
    error: --template: there is no template `quantum`, nor a file or a folder with a Dockerfile of that name
      hint: built-in templates: python, tensorflow, pytorch, cuda
    $ image -f Dockerfil
    error: --file Dockerfil: there is no such file
    $ image --base "Not A Name"
    error: --base Not A Name: base image "Not A Name" isn't an image reference (a name is [HOST[:PORT]/]NAME of lower-case letters, digits and single separators); write it as docker pull would take it: ubuntu:24.04 or registry.example.com/team/base@sha256:...
    $ image -t me/UPPER:v1
    error: --tag: `me/UPPER:v1` isn't an image reference: a repository name is lower-case
    $ image -t a:v1@sha256:0000000000000000000000000000000000000000000000000000000000000000
    error: --tag a:v1@sha256:[DIGEST]: a tag can't name a digest
      hint: write NAME:TAG; the digest is what comes out
    $ image --push
    error: --push needs a name for the image
      hint: give -t REGISTRY/project
    $ image --platform linux/quantum!
    error: --platform linux/quantum!: write os/architecture, such as linux/amd64
    $ image --allow everything
    error: --allow everything: unknown entitlement
      hint: there are network.host, security.insecure, device
    $ image --launch-config missing.json
    error: --launch-config missing.json: No such file or directory (os error 2)
    "#);
}

#[test]
fn contexts_that_arent_there() {
    let project = Project::new(&FILES);
    insta::assert_snapshot!(refusals(&project, &[
        &["missing"],
        &["train.py"],
        &["--build-context", "data=missing"],
        &["--build-context", "data=oci-layout://."],
        &["--build-context", "data"],
        &["-", "-f", "-"],
        &["--lock", "missing/mlbuild.lock", "--template", "missing"],
    ]), @"
    $ image missing
    error: CONTEXT missing: there is no such folder
      hint: give a folder, a git or tar URL, or - for a tar on standard input
    $ image train.py
    error: CONTEXT train.py: it is a file, not a folder
      hint: give a folder, a git or tar URL, or - for a tar on standard input
    $ image --build-context data=missing
    error: --build-context missing: there is no such folder
    $ image --build-context data=oci-layout://.
    error: --build-context oci-layout://.: /project is not an OCI layout
    $ image --build-context data
    error: --build-context data: write NAME=VALUE
    $ image - -f -
    error: --file - and CONTEXT - both read standard input
      hint: put the Dockerfile into the tar, and give its path there with --file
    $ image --lock missing/mlbuild.lock --template missing
    error: --template: there is no template `missing`, nor a file or a folder with a Dockerfile of that name
      hint: built-in templates: python, tensorflow, pytorch, cuda
    ");
}

#[test]
fn requirements_that_cant_be_used() {
    let project = Project::new(&FILES);
    project.write("bad.txt", "numpy\n# fine\nopencv-python ===== 4\n");
    project.write("latin1.txt", "numpy\n");
    std::fs::write(project.path("latin1.txt"), b"numpy\n# caf\xe9\n").unwrap();
    project.write("both.txt", "opencv-python\nopencv-python-headless\n");
    project.write("pylock.toml", "lock-version = \n");
    insta::assert_snapshot!(refusals(&project, &[
        &["-r", "missing.txt"],
        &["-r", "bad.txt"],
        &["-r", "latin1.txt"],
        &["-r", "pylock.toml"],
        &["-r", "/etc/hostname"],
        &["-r", "../outside.txt"],
        &["-r", "both.txt", "--gui"],
        &["--apt", "no;such"],
    ]), @r#"
    $ image -r missing.txt
    error: can't read missing.txt: no such file; check the name; it is relative to the build context
    $ image -r bad.txt
    error: bad.txt:3: no such comparison operator "=====", must be one of ~= == != <= >= < > ===
        opencv-python ===== 4
    write it as NAME, NAME==VERSION or NAME @ URL (https://peps.python.org/pep-0508/)
    $ image -r latin1.txt
    error: can't read latin1.txt: it isn't UTF-8 text (line 2); save it as UTF-8
    $ image -r pylock.toml
    error: can't read pylock.toml: line 1: string values must be quoted, expected literal string; write it again with uv lock (or uv export --format pylock.toml)
    $ image -r /etc/hostname
    error: --requirements /etc/hostname: file in the build context "/etc/hostname" is absolute; name a file inside the build context, relative to its root
    $ image -r ../outside.txt
    error: --requirements ../outside.txt: file in the build context "../outside.txt" leads outside the build context; name a file inside the build context, relative to its root
    $ image -r both.txt --gui
    error: opencv-python (both.txt:1) and opencv-python-headless (both.txt:2) both install the module cv2 and overwrite each other
      hint: keep the one without -headless, which can show windows
    $ image --apt no;such
    error: --apt no;such: apt package "no;such" has a name with characters that Debian doesn't allow; write it as apt-get would take it: libgl1, git=1:2.39.5-0+deb12u2 or git/bookworm-backports
    "#);
}

#[test]
fn packages_that_cant_be() {
    let project = Project::new(&FILES);
    insta::assert_snapshot!(refusals(&project, &[
        &["--package", "not a package"],
        &["--package", "numpy=="],
        &["--package", ""],
    ]), @r#"
    $ image --package "not a package"
    error: package "not a package": Expected one of `@`, `(`, `<`, `=`, `>`, `~`, `!`, `;`, found `a`
      hint: write it as NAME, NAME==VERSION or NAME[EXTRA]
    $ image --package numpy==
    error: package "numpy==": Unexpected end of version specifier, expected version
      hint: write it as NAME, NAME==VERSION or NAME[EXTRA]
    $ image --package ""
    error: package "": Empty field is not allowed for PEP508
      hint: write it as NAME, NAME==VERSION or NAME[EXTRA]
    "#);
}

#[test]
fn users_that_cant_be() {
    let project = Project::new(&FILES);
    insta::assert_snapshot!(refusals(&project, &[
        &["--uid", "-1"],
        &["--uid", "4294967295"],
        &["--uid", "99999999999999999999"],
        &["--uid", "me"],
        &["--uid", ""],
        &["--uid", "1.5"],
        &["--gid", "-7"],
        &["--user", "a b"],
        &["--user", "root:x"],
        &["--user", "-rf"],
        &["--user=-rf"],
        &["--user", "$(id)"],
        &["--user", "1000"],
        &["--user", ""],
        &["--user", "abcdefghijklmnopqrstuvwxyzabcdefg"],
    ]), @r#"
    $ image --uid -1
    error: --uid -1: uid "-1" is negative; give a whole number from 0 to 4294967294, such as the output of `id -u`
    $ image --uid 4294967295
    error: --uid 4294967295: uid "4294967295" means "no id" to the kernel; give a whole number from 0 to 4294967294, such as the output of `id -u`
    $ image --uid 99999999999999999999
    error: --uid 99999999999999999999: uid "99999999999999999999" is too large; give a whole number from 0 to 4294967294, such as the output of `id -u`
    $ image --uid me
    error: --uid me: uid "me" isn't a number; give a whole number from 0 to 4294967294, such as the output of `id -u`
    $ image --uid ""
    error: --uid : uid "" isn't a number; give a whole number from 0 to 4294967294, such as the output of `id -u`
    $ image --uid 1.5
    error: --uid 1.5: uid "1.5" isn't a number; give a whole number from 0 to 4294967294, such as the output of `id -u`
    $ image --gid -7
    error: --gid -7: gid "-7" is negative; give a whole number from 0 to 4294967294, such as the output of `id -u`
    $ image --user "a b"
    error: --user a b: user name "a b" holds ' ', which a shell or /etc/passwd would misread; use 1 to 32 of the letters a-z, A-Z, digits, '_', '-' and '.', beginning with a letter or '_'
    $ image --user root:x
    error: --user root:x: user name "root:x" holds ':', which a shell or /etc/passwd would misread; use 1 to 32 of the letters a-z, A-Z, digits, '_', '-' and '.', beginning with a letter or '_'
    $ image --user -rf
    error: a value is required for '--user <NAME>' but none was supplied

    For more information, try '--help'.
    $ image --user=-rf
    error: --user -rf: user name "-rf" begins with '-'; use 1 to 32 of the letters a-z, A-Z, digits, '_', '-' and '.', beginning with a letter or '_'
    $ image --user $(id)
    error: --user $(id): user name "$(id)" begins with '$'; use 1 to 32 of the letters a-z, A-Z, digits, '_', '-' and '.', beginning with a letter or '_'
    $ image --user 1000
    error: --user 1000: user name "1000" begins with '1'; use 1 to 32 of the letters a-z, A-Z, digits, '_', '-' and '.', beginning with a letter or '_'
    $ image --user ""
    error: --user : user name "" is empty; use 1 to 32 of the letters a-z, A-Z, digits, '_', '-' and '.', beginning with a letter or '_'
    $ image --user abcdefghijklmnopqrstuvwxyzabcdefg
    error: --user abcdefghijklmnopqrstuvwxyzabcdefg: user name "abcdefghijklmnopqrstuvwxyzabcdefg" is 33 characters long; use 1 to 32 of the letters a-z, A-Z, digits, '_', '-' and '.', beginning with a letter or '_'
    "#);
}

#[test]
fn ports_and_variables_that_cant_be() {
    let project = Project::new(&FILES);
    insta::assert_snapshot!(refusals(&project, &[
        &["--port", "0"],
        &["--port", "65536"],
        &["--port", "-1"],
        &["--port", "80/xyz"],
        &["--port", "8000-7000"],
        &["--env", "NO_VALUE"],
        &["--env", "1A=b"],
        &["--env", "A B=c"],
        &["--env", "=c"],
        &["--env", "A=b\nc"],
        &["--add-host", "nowhere"],
        &["--network", "mesh"],
        &["--shm-size", "big"],
        &["--ulimit", "nofile"],
        &["--secret", "src=missing"],
        &["--secret", "id=a,src=missing"],
        &["--secret", "id=a,env=NOT_SET_HERE"],
        &["--ssh", "id=/missing.sock"],
        &["--cache-to", "type=tape"],
        &["-o", "type=floppy"],
        &["-o", "type=oci"],
        &["-t", "host.example/a", "-o", "type=image", "-o", "type=registry"],
        &["-t", "host.example/a", "-o", "type=image,name=host.example/b"],
        &["-t", "host.example/a", "-o", "type=image,push=true,push-by-digest=true"],
        &["-o", "type=image,push=true,compression=zstd"],
        &["--attest", "type=horoscope"],
    ]), @r#"
    $ image --port 0
    error: --port 0: port "0" is out of range; give a number from 1 to 65535, optionally with /tcp or /udp
    $ image --port 65536
    error: --port 65536: port "65536" is out of range; give a number from 1 to 65535, optionally with /tcp or /udp
    $ image --port -1
    error: --port -1: port "-1" is out of range; give a number from 1 to 65535, optionally with /tcp or /udp
    $ image --port 80/xyz
    error: --port 80/xyz: port "80/xyz" has an unknown protocol; give a number from 1 to 65535, optionally with /tcp or /udp
    $ image --port 8000-7000
    error: --port 8000-7000: port "8000-7000" isn't a number; give a number from 1 to 65535, optionally with /tcp or /udp
    $ image --env NO_VALUE
    error: --env NO_VALUE: no variable of that name is set here
      hint: write --env NO_VALUE=VALUE
    $ image --env 1A=b
    error: --env 1A: environment variable name "1A" can't be set by a shell; use letters, digits and '_', not beginning with a digit
    $ image --env "A B=c"
    error: --env A B: environment variable name "A B" can't be set by a shell; use letters, digits and '_', not beginning with a digit
    $ image --env =c
    error: --env =c: write NAME=VALUE
    $ image --env "A=b\nc"
    error: --env A: value "b\nc" holds '\n', which a Dockerfile can't write inside a value; set it when the container runs (-e NAME=...), or put the text in a file that is copied in
    $ image --add-host nowhere
    error: --add-host nowhere: write HOST:ADDRESS
    $ image --network mesh
    error: --network mesh: write default, none or host
    $ image --shm-size big
    error: --shm-size big: write a number with k, m or g
    $ image --ulimit nofile
    error: --ulimit nofile: write NAME=VALUE
    $ image --secret src=missing
    error: --secret src=missing: there is no file missing
    $ image --secret id=a,src=missing
    error: --secret id=a,src=missing: there is no file missing
    $ image --secret id=a,env=NOT_SET_HERE
    error: --secret id=a,env=NOT_SET_HERE: the variable NOT_SET_HERE is not set
    $ image --ssh id=/missing.sock
    error: --ssh id=/missing.sock: there is no /missing.sock
    $ image --cache-to type=tape
    error: --cache-to type=tape: unknown cache type `tape`; there are registry, local, inline, gha, s3, azblob
    $ image -o type=floppy
    error: --output type=floppy: unknown output type `floppy`; there are image, registry, docker, oci, sif, local, tar
    $ image -o type=oci
    error: --output type=oci: dest= is missing for type=oci
    $ image -t host.example/a -o type=image -o type=registry
    error: --output: type=image is there twice
      hint: put its attributes into one: --output type=image,push=true,…
    $ image -t host.example/a -o type=image,name=host.example/b
    error: --output name=host.example/b: the image is host.example/a:latest
      hint: name it with -t host.example/b
    $ image -t host.example/a -o type=image,push=true,push-by-digest=true
    error: --output push-by-digest=: mlbuild pushes by tag, and prints the digest
      hint: leave it out
    $ image -o type=image,push=true,compression=zstd
    error: --push needs a name for the image
      hint: give -t REGISTRY/project
    $ image --attest type=horoscope
    error: --attest type=horoscope: write type=provenance or type=sbom
    "#);
}

#[test]
fn a_configuration_names_its_line() {
    let project = Project::new(&FILES);
    let mut said = String::new();
    for text in [
        "[image]\nbasee = \"x\"\n",
        "[imag]\nbase = \"x\"\n",
        "[image]\nports = [80, 99999]\n",
        "[image]\nbase = \n",
        "[image]\n\n[image.user]\nuid = -1\n",
        "[image]\ntemplate = \"pyton\"\n",
        "[build]\nnetwork = \"mesh\"\n",
    ] {
        project.write("mlbuild.toml", text);
        said += &refusals(&project, &[&[]]);
    }
    insta::assert_snapshot!(said, @r#"
    $ image
    error: /project/mlbuild.toml:2:1: unknown key `basee`
      hint: did you mean `base`?
    $ image
    error: /project/mlbuild.toml:1:2: unknown key `imag`
      hint: did you mean `image`?
    $ image
    error: /project/mlbuild.toml:2:9: port "99999" is out of range; give a number from 1 to 65535, optionally with /tcp or /udp
    $ image
    error: /project/mlbuild.toml:2:8: string values must be quoted, expected literal string
    $ image
    error: /project/mlbuild.toml:4:7: uid "-1" is negative; give a whole number from 0 to 4294967294, such as the output of `id -u`
    $ image
    error: mlbuild.toml: [image] template: there is no template `pyton`, nor a file or a folder with a Dockerfile of that name
      hint: did you mean `python`?
    $ image
    error: mlbuild.toml: [build] network mesh: write default, none or host
    "#);
}

#[test]
fn a_dockerfile_whose_base_has_no_value() {
    let project = Project::new(&[
        ("Dockerfile", "ARG BASE\n\nFROM ${BASE}:v1\n"),
        ("Broken", "FROM ${BASE\n"),
    ]);
    insta::assert_snapshot!(refusals(&project, &[&["-f", "Dockerfile"], &["-f", "Broken"]]), @"
    $ image -f Dockerfile
    error: Dockerfile:3: ARG BASE in `FROM ${BASE}:v1` has no value
      hint: give it one: --build-arg BASE=VALUE
      hint: or in the file: ARG BASE=VALUE, before the first FROM
    $ image -f Broken
    error: Dockerfile:1: `${BASE` has a broken variable expression
    ");
}

#[test]
fn the_plan_shows_no_secret() {
    let project = Project::new(&FILES);
    let mut command = project.command([
        "image",
        "--secret",
        "id=token,env=TOKEN",
        "--print",
        "plan",
        "--no-lock",
    ]);
    command
        .env("TOKEN", "s3cr3t-token")
        .env("HTTP_PROXY", "http://user:s3cr3t-proxy@proxy.example")
        .env(
            "PIP_INDEX_URL",
            "https://user:s3cr3t-index@index.example/simple",
        );
    let ran = crate::support::mlbuild::Ran::of(&mut command);
    assert!(!ran.answer().contains("s3cr3t"), "{}", ran.stdout);
    assert_eq!(project.names(), ["requirements.txt", "train.py"]);
}

#[test]
fn the_story_can_be_told_in_json() {
    let events = |files: &[(&str, &str)]| {
        let project = Project::new(files);
        let ran = project.run(["image", "--progress", "json", "--print", "dockerfile"]);
        let lines = ran.stderr.lines();
        let parsed = lines.map(|line| serde_json::from_str(line).expect("a line of JSON"));
        (ran.code, parsed.collect::<Vec<serde_json::Value>>())
    };
    let (code, told) = events(&[("requirements.txt", "six\n"), ("install.R", "")]);
    assert_eq!(code, Some(0));
    let found: Vec<_> = told
        .iter()
        .filter(|line| line["event"] == "project-file")
        .map(|line| (line["file"].as_str().unwrap(), line["used"] == true))
        .collect();
    assert_eq!(found, [("requirements.txt", true), ("install.R", false)]);

    let (code, told) = events(&[("requirements.txt", "six ; \u{e9}\n")]);
    assert_eq!(code, Some(2));
    let last = told.last().expect("an error");
    assert_eq!(last["event"], "error");
    assert_eq!(last["exit_code"], 2);
    let message = last["message"].as_str().expect("a message");
    assert!(message.contains("requirements.txt:1"), "{message}");
}

#[test]
fn what_would_be_sent_is_listed_with_the_line_that_decides() {
    let project = Project::new(&[
        ("requirements.txt", "numpy\n"),
        ("train.py", "pass\n"),
        ("data/a.csv", "1,2\n"),
        ("data/b.csv", "1\n"),
        (".dockerignore", "# data\ndata\n"),
    ]);
    let ran = project.run(["image", "--print", "context", "-q"]);
    insta::assert_snapshot!(ran.answer(), @r"
    sent      12 bytes  .dockerignore     no line leaves it out
    left out  6 bytes   data/ (2 files)   .dockerignore:2: data
    sent      6 bytes   requirements.txt  no line leaves it out
    sent      5 bytes   train.py          no line leaves it out
    sent: 23 bytes in 3 files; left out: 6 bytes in 2 files
    ");
    let ran = project.run(["image", "--print", "context", "--format", "json", "-q"]);
    let document = ran.json();
    let entries = document["entries"].as_array().unwrap();
    let data = entries.iter().find(|e| e["path"] == "data/").unwrap();
    assert_eq!(
        *data,
        serde_json::json!({
            "path": "data/", "bytes": 6, "files": 2, "sent": false,
            "why": "line", "file": ".dockerignore", "line": 2, "pattern": "data",
        })
    );
    assert_eq!(document["ignore_file"], ".dockerignore");
    assert_eq!(document["left_out"]["files"], 2);
}

#[test]
fn each_decision_is_said_with_the_line_that_it_comes_from() {
    let project = Project::new(&[
        ("requirements.txt", "numpy\nopencv-python\n"),
        (
            "mlbuild.toml",
            "[image]\ntag = \"x\"\napt = [\n  \"git\",\n]\n[image.user]\nuid = 7\n",
        ),
        (".python-version", "3.11\n"),
    ]);
    let ran = project.run(["image", "--explain", "--apt", "curl", "-q"]);
    insta::assert_snapshot!(ran.answer(), @r"
    template        python                     default
    accelerator     off                        default
    base            python:3.11-slim-bookworm  default for the python template and gpu off
    Python          3.11                       .python-version:1
    installer       uv                         default
    packages        requirements.txt           it lies in the project
    index           the usual package index    this machine's pip configuration, else default
    system library  git                        mlbuild.toml:4
    system library  curl                       --apt
    system library  fonts-dejavu-core          opencv-python (requirements.txt:2) needs it
    system library  libgl1                     opencv-python (requirements.txt:2) needs it
    system library  libglib2.0-0               opencv-python (requirements.txt:2) needs it
    system library  libsm6                     opencv-python (requirements.txt:2) needs it
    user            ml (7)                     mlbuild.toml:6
    ignored files   the usual ones             default: no ignore file
    made by         BuildKit                   the Debian package curl may have to be installed
    ");
    let document = project
        .run(["image", "--explain", "--format", "json", "-q"])
        .json();
    let choices = document["choices"].as_array().unwrap();
    let python = choices.iter().find(|c| c["what"] == "Python").unwrap();
    assert_eq!(
        *python,
        serde_json::json!({ "what": "Python", "value": "3.11", "from": ".python-version:1" })
    );
    let toml = "[build]\nplatforms = [\"linux/amd64\", \"linux/arm64\"]\n";
    project.write("mlbuild.toml", toml);
    for (flags, from) in [
        (&[][..], "mlbuild.toml:2"),
        (&["--platform", "linux/amd64,linux/arm64"], "--platform"),
    ] {
        let words = [&["image", "--explain", "-q"], flags].concat();
        let said = project.run(&words);
        let rows = said.answer().lines().map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words.join(" ")
        });
        let rows: Vec<String> = rows.filter(|row| row.starts_with("platform ")).collect();
        let wanted = ["amd64", "arm64"].map(|name| format!("platform linux/{name} {from}"));
        assert_eq!(rows, wanted, "{flags:?}");
    }
}

#[test]
fn root_has_its_own_ids() {
    let project = Project::new(&FILES);
    for ids in [
        &["--user", "root"][..],
        &["--user", "root", "--gid", "0"],
        &["--uid", "0"],
    ] {
        let words = [&["image", "--print", "dockerfile"][..], ids].concat();
        let ran = project.run(&words);
        let dockerfile = ran.answer();
        for line in ["ARG USERNAME=root", "ARG USER_UID=0", "ARG USER_GID=0"] {
            assert!(dockerfile.contains(line), "{ids:?}: no {line}");
        }
        assert!(!dockerfile.contains("USER_UID=$(id -u)"), "{ids:?}");
    }
    insta::assert_snapshot!(refusals(&project, &[
        &["--user", "root", "--uid", "1000"],
        &["--user", "root", "--uid", "0", "--gid", "5"],
    ]), @"
    $ image --user root --uid 1000
    error: --uid 1000: root's uid is always 0; leave it out, or name another user
    $ image --user root --uid 0 --gid 5
    error: --gid 5: root's gid is always 0; leave it out, or name another user
    ");
}
