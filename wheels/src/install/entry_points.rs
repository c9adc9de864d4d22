//! `entry_points.txt`: programs that call a function of the package
//! (<https://packaging.python.org/specifications/entry-points/>).

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use configparser::ini::{Ini, IniDefault};
use regex::Regex;

use super::metadata::bad;
use crate::error::Fault;
use crate::target::Target;

/// `package.module:function [extra]`; extras are accepted and ignored.
static VALUE: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = r"^(?P<module>[\w\d_\-.]+)\s*:\s*(?P<function>[\w\d_\-.]+)(?:\s*\[\s*(?:[^,]+,?\s*)+\])?\s*$";
    Regex::new(pattern).expect("a pattern")
});

/// Programs that a package may have. Real ones have some dozens; each becomes a file.
const MOST_PROGRAMS: usize = 10_000;

/// The programs of a package.
#[derive(Default)]
pub(super) struct Programs {
    pub(super) all: Vec<Program>,
}

/// A program, and what it calls.
pub(super) struct Program {
    pub(super) name: String,
    module: String,
    function: String,
}

impl Programs {
    pub(super) fn parse(file: &str, bytes: Vec<u8>, target: &Target) -> Result<Self, Fault> {
        let text = String::from_utf8(bytes).map_err(|_| bad(file, "it isn't UTF-8"))?;
        let mut form = IniDefault::default();
        form.case_sensitive = true;
        form.delimiters = vec!['='];
        let sections = Ini::new_from_defaults(form).read(text);
        let sections = sections.map_err(|why| bad(file, why))?;
        let mut console = section(file, sections.get("console_scripts"))?;
        // pip's own list names the Python that packed it; it gets `pip3.N` of this one.
        console.retain(|name, _| {
            let number = name.strip_prefix("pip3.");
            number.is_none_or(|number| number.parse::<u8>().is_err())
        });
        if let Some(pip) = console.get("pip3").cloned() {
            console.insert(format!("pip3.{}", target.python.minor), pip);
        }
        let graphical = section(file, sections.get("gui_scripts"))?;
        let all: Vec<Program> = console
            .into_iter()
            .chain(graphical)
            .map(|(name, (module, function))| Program {
                name,
                module,
                function,
            })
            .collect();
        if all.len() > MOST_PROGRAMS {
            return Err(Fault::TooLarge {
                what: "programs",
                found: all.len() as u64,
                most: MOST_PROGRAMS as u64,
            });
        }
        for program in &all {
            check_name(file, &program.name)?;
        }
        Ok(Self { all })
    }

    /// True for a script of the `.data` folder that an entry point makes anew.
    pub(super) fn replaces(&self, script: &str) -> bool {
        let endings = [".exe", "-script.py", ".pya"];
        let name = endings.iter().find_map(|end| script.strip_suffix(end));
        let name = name.unwrap_or(script);
        self.all.iter().any(|program| program.name == name)
    }
}

type Calls = BTreeMap<String, (String, String)>;

fn section(file: &str, values: Option<&HashMap<String, Option<String>>>) -> Result<Calls, Fault> {
    let mut calls = Calls::new();
    for (name, value) in values.into_iter().flatten() {
        let found = value.as_deref().and_then(|value| VALUE.captures(value));
        let Some(found) = found else {
            let value = value.as_deref().unwrap_or_default();
            let why = format!("{name} is {value:?}, which is no MODULE:FUNCTION");
            return Err(bad(file, why));
        };
        let call = (found["module"].to_owned(), found["function"].to_owned());
        calls.insert(name.clone(), call);
    }
    Ok(calls)
}

/// A name that stays in `bin/`, and isn't one of the environment's Python.
fn check_name(file: &str, name: &str) -> Result<(), Fault> {
    let is_plain = !name.is_empty()
        && !name.contains(['/', '\\'])
        && !name.chars().any(char::is_control)
        && !matches!(name, "." | "..")
        && !name.starts_with(".wh.")
        && name.len() <= 255;
    if !is_plain {
        let why = format!("{name:?} can't be the name of a program");
        return Err(bad(file, why));
    }
    let minor = name.strip_prefix("python3.");
    let is_python = matches!(name, "python" | "pythonw" | "python3")
        || minor.is_some_and(|minor| minor.parse::<u8>().is_ok());
    if is_python {
        return Err(Fault::ReservedProgram(name.to_owned()));
    }
    Ok(())
}

impl Program {
    /// The program's text, as uv and pip write it.
    pub(super) fn launcher(&self, python: &str) -> String {
        let Program {
            module, function, ..
        } = self;
        let import = function
            .split_once('.')
            .map_or(&**function, |(name, _)| name);
        let lines = [
            &shebang(python),
            "# -*- coding: utf-8 -*-",
            "import sys",
            &format!("from {module} import {import}"),
            "if __name__ == \"__main__\":",
            "    if sys.argv[0].endswith(\"-script.pyw\"):",
            "        sys.argv[0] = sys.argv[0][:-11]",
            "    elif sys.argv[0].endswith(\".exe\"):",
            "        sys.argv[0] = sys.argv[0][:-4]",
            &format!("    sys.exit({function}())"),
            "",
        ];
        lines.join("\n")
    }
}

/// The line that starts a program with this Python. Linux takes 127 bytes and no spaces; what
/// doesn't fit is started by way of `/bin/sh`, whose lines Python reads as a string.
pub(super) fn shebang(python: &str) -> String {
    if python.len() + 3 <= 127 && !python.contains(' ') {
        return format!("#!{python}");
    }
    let quoted = python.replace('\'', r#"'"'"'"#);
    format!("#!/bin/sh\n'''exec' '{quoted}' \"$0\" \"$@\"\n' '''")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Programs, Fault> {
        let target = Target::new("3.11".parse().unwrap(), "/opt/venv").unwrap();
        Programs::parse("entry_points.txt", text.as_bytes().to_vec(), &target)
    }

    #[test]
    fn a_program_calls_its_function() {
        let programs = parse("[console_scripts]\nFoo = foo.cli : main.run [a, b]\n").unwrap();
        insta::assert_snapshot!(programs.all[0].launcher("/opt/venv/bin/python"), @r##"
        #!/opt/venv/bin/python
        # -*- coding: utf-8 -*-
        import sys
        from foo.cli import main
        if __name__ == "__main__":
            if sys.argv[0].endswith("-script.pyw"):
                sys.argv[0] = sys.argv[0][:-11]
            elif sys.argv[0].endswith(".exe"):
                sys.argv[0] = sys.argv[0][:-4]
            sys.exit(main.run())
        "##);
        assert!(programs.replaces("Foo-script.py") && !programs.replaces("foo"));
    }

    #[test]
    fn pip_is_named_after_the_environments_python() {
        let programs = parse("[console_scripts]\npip=a:b\npip3=a:c\npip3.9=a:d\n").unwrap();
        let names: Vec<_> = programs.all.iter().map(|p| p.name.as_str()).collect();
        assert_eq!(names, ["pip", "pip3", "pip3.11"]);
    }

    #[test]
    fn names_and_values_that_cannot_be_are_refused() {
        let script = |line: &str| parse(&format!("[console_scripts]\n{line}\n"));
        for python in ["python=a:b", "python3=a:b", "python3.12=a:b", "pythonw=a:b"] {
            let error = script(python).err().expect(python);
            assert!(matches!(error, Fault::ReservedProgram(_)), "{python}");
        }
        for bad in [
            "../x=a:b",
            "x=a",
            "x=a:b\ny",
            ".wh.x=a:b",
            "x=a:b(c)",
            "x: a:b",
        ] {
            let error = script(bad).err().expect(bad);
            assert!(matches!(error, Fault::Metadata { .. }), "{bad}");
        }
    }

    #[test]
    fn long_paths_are_started_by_a_shell() {
        assert_eq!(
            shebang("/a b/py'thon"),
            "#!/bin/sh\n'''exec' '/a b/py'\"'\"'thon' \"$0\" \"$@\"\n' '''"
        );
        assert!(shebang(&"x".repeat(124)).starts_with("#!x"));
        assert!(shebang(&"x".repeat(125)).starts_with("#!/bin/sh"));
    }
}
