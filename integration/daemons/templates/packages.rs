//! Packages: Python where the base has none, files that include each other, windows, serving.

use super::Workshop;
use crate::support::engines::Engines;
use crate::support::repository;

#[test]
fn a_base_without_python_gets_one() {
    let workshop = Workshop::new(&[
        ("requirements.txt", "-r env/common.txt\nsix==1.16.0\n"),
        (
            "env/common.txt",
            "-c ../constraints.txt\nidna  # pinned elsewhere\n",
        ),
        ("constraints.txt", "idna==3.6\n"),
    ]);
    let base = workshop.engines.base.clone();
    for installer in ["uv", "pip"] {
        workshop.build(
            "templates-nopython",
            &["--base", &base, "--installer", installer, "--uid", "1000"],
        );
        let said = workshop.sh("templates-nopython", "command -v python; python -c 'import six, idna; print(six.__version__, idna.__version__)'");
        assert_eq!(said, "/opt/venv/bin/python\n1.16.0 3.6", "{installer}");
        // Bytecode is there for users who can't write it, and doesn't ask for its source's time.
        let pyc = workshop.sh(
            "templates-nopython",
            "f=$(python -c 'import six; print(six.__cached__)'); head -c 8 $f | tail -c 4 | od -An -tu4",
        );
        assert_eq!(pyc.trim(), "1", "{installer}: unchecked-hash bytecode");
        // Any user reads the environment.
        let other = [
            "run",
            "--rm",
            "--network",
            "none",
            "--user",
            "4321:4321",
            "templates-nopython",
            "python",
            "-c",
            "import six",
        ];
        workshop.docker(&other);
    }
}

#[test]
fn a_python_that_the_base_hasnt_is_refused() {
    let workshop = Workshop::new(&[]);
    let base = workshop.engines.python_base.clone();
    let output = workshop.image(
        "templates-wrong",
        &["--base", &base, "--python", "3.12", "--package", "six"],
    );
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("Python 3.12 is asked for, but this base has 3.11"),
        "{said}"
    );
}

#[test]
fn opencv_finds_what_its_windows_need() {
    let workshop = Workshop::new(&[("requirements.txt", "opencv-python\n")]);
    let base = workshop.engines.base.clone();
    workshop.build(
        "templates-opencv",
        &["--base", &base, "--gui", "--uid", "1000"],
    );
    let script = "python -c 'import cv2'; plugin=$(find /opt/venv -name libqxcb.so); test -n \"$plugin\"; \
                  ldd $plugin | grep 'not found' || true; echo $QT_QPA_PLATFORM $QT_X11_NO_MITSHM";
    assert_eq!(workshop.sh("templates-opencv", script), "xcb 1");

    // Without --gui it can still be imported.
    workshop.build("templates-opencv", &["--base", &base]);
    assert_eq!(
        workshop.sh("templates-opencv", "python -c 'import cv2'; echo ok"),
        "ok"
    );

    workshop.write(
        "requirements.txt",
        "opencv-python\nopencv-python-headless\n",
    );
    let output = workshop.image("templates-opencv", &["--base", &base, "--gui"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("requirements.txt:1") && said.contains("requirements.txt:2"),
        "{said}"
    );
}

#[test]
fn a_model_is_laid_out_for_serving() {
    let workshop = Workshop::new(&[
        ("export/cracks/saved_model.pb", "model"),
        ("export/many/3/saved_model.pb", "model"),
    ]);
    let base = workshop.engines.base.clone();
    for (model, file) in [
        ("export/cracks", "/models/cracks/1/saved_model.pb"),
        ("export/many", "/models/many/3/saved_model.pb"),
    ] {
        workshop.build(
            "templates-serving",
            &["--base", &base, "--serve", model, "--uid", "1234"],
        );
        assert_eq!(
            workshop.sh(
                "templates-serving",
                &format!("cat {file}; echo; id -u; echo $MODEL_BASE_PATH/$MODEL_NAME")
            ),
            format!("model\n1234\n{}", &file[..file.len() - 17])
        );
        let ports = workshop.docker(&[
            "image",
            "inspect",
            "--format",
            "{{json .Config.ExposedPorts}}",
            "templates-serving",
        ]);
        assert_eq!(ports, r#"{"8500/tcp":{},"8501/tcp":{}}"#);
    }
    let output = workshop.image("templates-serving", &["--base", &base, "--serve", "export"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn the_built_in_files_need_no_mlbuild() {
    let engines = Engines::from_env();
    let base = format!("BASE_IMAGE={}", engines.python_base);
    for (name, endpoint) in engines.dockers() {
        let workshop = Workshop::on(
            engines.clone(),
            endpoint.to_owned(),
            &[("train.py", "print('trained')\n")],
        );
        for template in ["python", "cuda"] {
            let file =
                repository().join(format!("templates/data/dockerfiles/{template}.Dockerfile"));
            let mut command = workshop.docker_command(&["build", "-q", "-t", "templates-alone"]);
            command
                .env("DOCKER_BUILDKIT", "1")
                .arg("-f")
                .arg(file)
                .args(["--build-arg", &base]);
            command
                .args([
                    "--build-arg",
                    "USER_UID=1234",
                    "--build-arg",
                    "USERNAME=vorph",
                ])
                .arg(workshop.path());
            let output = command.output().expect("docker build");
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{name}, {template}: {said}");
            let said = workshop.sh("templates-alone", "id -un; id -u; id -g; python train.py");
            assert_eq!(said, "vorph\n1234\n1000\ntrained", "{name}, {template}");
        }
    }
}

#[test]
fn a_template_of_ones_own_is_filled_from_the_same_settings() {
    let text = "ARG BASE_IMAGE=debian:12\nFROM $BASE_IMAGE\nARG USERNAME=vorph\nARG USER_UID=1000\nARG USER_GID=1000\n\
                RUN groupadd -g $USER_GID -o $USERNAME && useradd -l -m -u $USER_UID -g $USER_GID -o -s /bin/bash $USERNAME\n\
                USER $USERNAME\n";
    let workshop = Workshop::new(&[("team.Dockerfile", text)]);
    let base = workshop.engines.base.clone();
    let arguments = [
        "--template",
        "team.Dockerfile",
        "--base",
        &base,
        "--user",
        "me",
        "--uid",
        "1234",
        "--gid",
        "100",
        "-p",
        "5000",
    ];
    let output = workshop.image("templates-own", &arguments);
    let story = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{story}");
    assert!(
        story.contains("the template decides about ports itself"),
        "{story}"
    );
    assert_eq!(
        workshop.sh("templates-own", "id -un; id -u; id -g"),
        "me\n1234\n100"
    );
}
