//! Requirement lines beside pip's own reader.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mlbuild_templates::project::{ImagePython, read_requirements};
use serde_json::json;

use super::{agree, answers, output, root};

/// A Python with the pip that is asked.
fn python() -> &'static PathBuf {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let folder = root().join(".state/peers-python");
        let python = folder.join("bin/python");
        if !folder.join("bin/uv").is_file() {
            output(
                Command::new("python3").args(["-m", "venv"]).arg(&folder),
                "",
            );
            let mut install = Command::new(&python);
            install.args(["-m", "pip", "install", "-q", "pip==26.1", "uv==0.13.9"]);
            output(&mut install, "");
        }
        python
    })
}

/// A line of each kind that people write, and of each kind that pip refuses.
const LINES: &str = r#"numpy
numpy==1.26.4
NumPy >= 1.26 , < 2
numpy>=1.0,
numpy (>=1.0)
numpy===1.0.1
numpy===foobar
numpy==1.*
numpy>=2.*
numpy=1.0
numpy 1.0
numpy>1.0 <2
torch[extra]>=2
torch[extra, more]
torch[extra
numpy; python_version < "3.9"
numpy ; sys_platform == 'win32' and python_version >= '3.8'
numpy; extra == "x"
numpy; nonsense == "x"
numpy;python_version<"3"
numpy # why
numpy	# why
numpy#why
# alone
   # indented
numpy \
numpy \	
git+https://example.com/x/y.git@v1
git+https://example.com/x/y.git#egg=y
git+ssh://git@example.com/x/y.git@main#egg=y&subdirectory=z
git+git@example.com:x/y.git
hg+https://example.com/x#egg=y
svn+https://example.com/x#egg=y
y @ git+https://example.com/x/y.git
y @ hg+https://example.com/x
y@git+https://example.com/x/y.git
y @ https://example.com/y-1.0-py3-none-any.whl
y @ https://example.com/y.tar.gz ; python_version > "3"
https://example.com/y-1.0-py3-none-any.whl
https://example.com/y-1.0.tar.gz
-e git+https://example.com/x/y.git#egg=y
-e git+https://example.com/x/y.git
-e https://example.com/y.tar.gz
-e .
-e ./lib
-e lib[x]
-e ./none
--editable=./lib
.
./lib
lib/
lib[x]
./none
./wheels/foo-1.0-py3-none-any.whl
wheels/foo-1.0-py3-none-any.whl
foo-1.0-py3-none-any.whl
-r base.txt
-rbase.txt
-r	base.txt
--requirement base.txt
--requirement=base.txt
--requirem base.txt
-c base.txt
-cbase.txt
-r none.txt
-r
-i https://example.com/simple
-ihttps://example.com/simple
--index-url https://example.com/simple
--index-url=https://example.com/simple
--index-url
--pypi-url https://example.com/simple
--extra-index-url https://example.com/simple
--extra-index https://example.com/simple
-f https://example.com/links
--find-links wheels
--find-links=./wheels
--no-index
--pre
--prefer-binary
--no-binary :all:
--only-binary=numpy
--trusted-host example.com
--require-hashes
--use-feature=fast-deps
--isolated
--user
-U
--upgrade
--frobnicate
--p
--no-deps
numpy --hash=sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824
numpy --config-settings a=b
numpy -C a=b
numpy --frob
numpy -r base.txt
numpy --pre
-e . --hash=sha256:00
"quoted"
'numpy'
numpy~=1.4
numpy!=1.5
numpy~=1
numpy==1.0+local
numpy==1.0.post1
numpy==1.0rc1
numpy==v1.0
numpy==1!2.0
numpy==latest
numpy<
numpy==
==1.0
@
numpy @
-
--
a.b_c-d
1numpy
_numpy
numpy_
numpy;
${NAME}
numpy==${VERSION}"#;

fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("base.txt", "numpy\n");
    write(
        "pyproject.toml",
        "[project]\nname = \"me\"\nversion = \"1\"\n",
    );
    write(
        "lib/pyproject.toml",
        "[project]\nname = \"lib\"\nversion = \"1\"\n",
    );
    write("wheels/foo-1.0-py3-none-any.whl", "");
    write("foo-1.0-py3-none-any.whl", "");
    dir
}

/// Lines that pip takes and no image can have: each is refused for that reason, and says it.
const NOT_IN_AN_IMAGE: [&str; 1] = [
    // No index can hold such a name.
    "numpy_",
];

#[test]
fn lines_are_taken_and_refused_as_pip_does() {
    let mut files: Vec<Vec<u8>> = LINES
        .lines()
        .map(|line| format!("{line}\n").into_bytes())
        .collect();
    // Every requirement with every option and every end.
    for requirement in [
        "numpy",
        "y @ https://example.com/y-1.0-py3-none-any.whl",
        "./lib",
        "-e ./lib",
        "-r base.txt",
    ] {
        for end in [
            "",
            " ",
            "\t",
            " # c",
            "\t# c",
            " \\\n",
            "\\",
            ";python_version>'3'",
            " ; python_version>'3'",
            " --hash=sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
            " --frob",
        ] {
            files.push(format!("{requirement}{end}\nscipy\r\n").into_bytes());
        }
    }
    files.push(b"\xef\xbb\xbfnumpy\n".to_vec());
    files.push(b"\xff\xfen\0u\0m\0p\0y\0\n\0".to_vec());
    files.push(b"\xfe\xff\0n\0\n".to_vec());
    files.push(b"# -*- coding: latin-1 -*-\n# caf\xe9\nnumpy\n".to_vec());
    let dir = folder();
    let questions: String = files
        .iter()
        .map(|file| format!("{}\n", json!(STANDARD.encode(file))))
        .collect();
    let mut pip = Command::new(python());
    pip.arg(root().join("integration/peers/ask.py"))
        .current_dir(dir.path());
    let theirs = answers(&output(&mut pip, &questions), files.len());
    let mut differences = Vec::new();
    for (file, theirs) in files.iter().zip(&theirs) {
        std::fs::write(dir.path().join("asked.txt"), file).unwrap();
        let ours = read_requirements(
            dir.path(),
            &["asked.txt".to_owned()],
            &ImagePython::default(),
        );
        let text = String::from_utf8_lossy(file);
        let excepted = NOT_IN_AN_IMAGE.iter().any(|line| text.trim_end() == *line);
        if ours.is_ok() != theirs.is_ok() && !excepted {
            let ours = ours.map(|_| ()).map_err(|error| error.to_string());
            differences.push(format!("{text:?}: ours {ours:?}, theirs {theirs:?}"));
        }
    }
    agree("requirement lines", files.len(), &differences);
}
