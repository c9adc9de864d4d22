//! Packages: Python where the base has none, files that include each other, windows, serving.

use super::Workshop;

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
