//! The base's Python, as uv asks for it: a script that answers the one question, from what the base's layers
//! say, and refuses to run anything else. uv runs code of a source archive by the same name, to
//! have its metadata: that fails, and nothing of a stranger's has run.

use std::path::{Path, PathBuf};

use mlbuild_wheels::Libc;
use serde_json::{Value, json};

use crate::assemble::BaseFacts;
use crate::shell;

/// What the script says where it is to run something.
pub(super) const REFUSED: &str = "mlbuild: code of packages isn't run on this machine";

/// Writes the script into a folder.
///
/// # Errors
/// A folder that can't be written to.
pub(super) fn write(facts: &BaseFacts, folder: &Path) -> std::io::Result<PathBuf> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let script = folder.join("python3");
    let own = script
        .to_str()
        .ok_or_else(|| std::io::Error::other("its path isn't Unicode"))?;
    let answer = answer(facts, own).to_string();
    let text = format!(
        "#!/bin/sh\ncase \"$*\" in\n*get_interpreter_info*) printf '%s\\n' {} ;;\n*) echo {} >&2; exit 70 ;;\nesac\n",
        shell::word(&answer),
        shell::word(REFUSED),
    );
    let mut options = std::fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o700)
        .open(&script)?;
    std::io::Write::write_all(&mut file, text.as_bytes())?;
    Ok(script)
}

/// What uv's own script prints in such a base (`get_interpreter_info.py` of the pinned version), but for the
/// places: `script` is the program that uv would make environments for builds of, and run them by. A program of
/// the base's name may be there on this machine as well.
fn answer(facts: &BaseFacts, script: &str) -> Value {
    let version = &facts.venv.version;
    let (python, machine) = (facts.python.to_string(), &facts.platform.machine);
    let (system, major, minor) = match facts.platform.libc {
        Libc::Glibc(major, minor) => ("manylinux", major, minor),
        Libc::Musl(major, minor) => ("musllinux", major, minor),
    };
    let nowhere = "/nowhere";
    let packages = format!("{nowhere}/lib/python{python}/site-packages");
    let schemes = |top: &str| {
        json!({
            "purelib": format!("{top}lib/python{python}/site-packages"),
            "platlib": format!("{top}lib/python{python}/site-packages"),
            "include": format!("{top}include/site/python{python}"),
            "scripts": format!("{top}bin"),
            "data": top.trim_end_matches('/'),
        })
    };
    let bits = if matches!(machine.as_str(), "i686" | "armv7l") {
        "32"
    } else {
        "64"
    };
    json!({
        "result": "success",
        "markers": {
            "implementation_name": "cpython",
            "implementation_version": version,
            "os_name": "posix",
            "platform_machine": machine,
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": version,
            "python_version": python,
            "sys_platform": "linux",
        },
        "sys_base_prefix": nowhere,
        "sys_base_exec_prefix": nowhere,
        "sys_prefix": nowhere,
        "sys_base_executable": script,
        "sys_executable": script,
        "sys_path": [packages],
        "site_packages": [packages],
        "stdlib": format!("{nowhere}/lib/python{python}"),
        "extension_suffixes": [],
        "standalone": false,
        "scheme": schemes("/nowhere/"),
        "virtualenv": schemes(""),
        "os": { "name": system, "major": major, "minor": minor },
        "arch": machine,
        "cpu_info": { "unavailable": "the base isn't run" },
        "manylinux_compatible": true,
        "gil_disabled": false,
        "debug_enabled": false,
        "pointer_size": bits,
    })
}
