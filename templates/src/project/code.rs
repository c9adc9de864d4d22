//! What a project's own code does when it runs that an image has to be fit for: programs that it starts, and code
//! that it compiles. The first modules of the project are looked at; no code is run.

use std::path::Path;

use super::imports::modules;

/// What the code does, each with the first place: `main.py:3`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Code {
    /// Programs by the names that they are started by, each once.
    pub programs: Vec<(String, String)>,
    /// C++ or CUDA that PyTorch compiles (`torch.utils.cpp_extension.load`).
    pub extension: Option<String>,
    /// What PyTorch or Triton compile (`torch.compile`, `@triton.jit`).
    pub kernels: Option<String>,
    /// A statement that Python 3 can't read.
    pub python2: Option<String>,
    /// What only TensorFlow 1 has: the place, and the name.
    pub tensorflow1: Option<(String, &'static str)>,
}

/// Calls whose first argument names a program: itself, as the first one of a list, or as the first word.
const CALLS: [&str; 12] = [
    "subprocess.run(",
    "subprocess.call(",
    "subprocess.check_call(",
    "subprocess.check_output(",
    "subprocess.getoutput(",
    "subprocess.getstatusoutput(",
    "subprocess.Popen(",
    "Popen(",
    "os.system(",
    "os.popen(",
    "shutil.which(",
    "create_subprocess_exec(",
];

/// What the first modules of a project do.
pub(crate) fn code_of(project: &Path) -> Code {
    let mut found = Code::default();
    for file in modules(project) {
        if let Ok(text) = mlbuild_files::read_to_string(&project.join(&file)) {
            of_module(&file, &text, &mut found);
        }
    }
    // A setup script runs when the project is installed, and does other things there.
    let script = project.join("setup.py");
    if let (None, Ok(text)) = (&found.python2, mlbuild_files::read_to_string(&script)) {
        let mut of_script = Code::default();
        of_module("setup.py", &text, &mut of_script);
        found.python2 = of_script.python2;
    }
    found
}

fn of_module(file: &str, text: &str, found: &mut Code) {
    let has_loader = text.contains("cpp_extension");
    let has_shell = ["subprocess", "os.system", "os.popen"]
        .iter()
        .any(|call| text.contains(call));
    let imports = [
        "import tensorflow as tf",
        "import tensorflow.contrib",
        "from tensorflow.contrib",
    ];
    let is_of_tensorflow1 = imports.iter().any(|import| text.contains(import))
        && !text.contains("tensorflow.compat.v1")
        && !text.contains("tf.compat.v1");
    let lines: Vec<&str> = text.lines().collect();
    let mut quote: Option<&str> = None;
    for (number, line) in lines.iter().enumerate() {
        let is_code = quote.is_none() && !line.trim_start().starts_with('#');
        quote = after(line, quote);
        if !is_code {
            continue;
        }
        let place = || format!("{file}:{}", number + 1);
        // Lists of arguments often begin on the next line.
        let next = lines.get(number + 1).map_or("", |line| line.trim());
        let written = has_shell.then(|| written_command(line)).flatten();
        for program in programs(line, next).into_iter().chain(written) {
            if found.programs.iter().all(|(known, _)| *known != program) {
                found.programs.push((program, place()));
            }
        }
        if has_loader && loads_extension(line) {
            found.extension.get_or_insert_with(place);
        }
        if compiles_kernels(line) {
            found.kernels.get_or_insert_with(place);
        }
        if is_python2(line) {
            found.python2.get_or_insert_with(place);
        }
        let of_tensorflow1 = OF_TENSORFLOW1.iter().find(|name| has_name(line, name));
        if let Some(name) = of_tensorflow1.filter(|_| is_of_tensorflow1) {
            found.tensorflow1.get_or_insert_with(|| (place(), name));
        }
    }
}

/// What TensorFlow 2 has no more under these names.
const OF_TENSORFLOW1: [&str; 15] = [
    "tensorflow.contrib",
    "tf.contrib",
    "tf.app.run",
    "tf.app.flags",
    "tf.flags",
    "tf.placeholder",
    "tf.Session",
    "tf.InteractiveSession",
    "tf.ConfigProto",
    "tf.get_variable",
    "tf.variable_scope",
    "tf.global_variables_initializer",
    "tf.logging",
    "tf.layers",
    "tf.truncated_normal",
];

/// Whether a line of code has a name by itself.
fn has_name(line: &str, name: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    let code = line.split(" #").next().unwrap_or(line);
    code.match_indices(name).any(|(at, _)| {
        let (before, after) = (&code[..at], &code[at + name.len()..]);
        !before.ends_with(is_part) && !after.starts_with(|c: char| c.is_alphanumeric() || c == '_')
    })
}

/// The quotes of a text of several lines that are open after a line.
fn after<'a>(line: &str, open: Option<&'a str>) -> Option<&'a str> {
    let (mut open, mut rest) = (open, line);
    loop {
        let quote = match open {
            Some(quote) => rest.find(quote).map(|at| (at, quote)),
            None => ["\"\"\"", "'''"]
                .into_iter()
                .filter_map(|quote| Some((rest.find(quote)?, quote)))
                .min(),
        };
        let Some((at, quote)) = quote else {
            return open;
        };
        rest = rest.get(at + quote.len()..).unwrap_or_default();
        open = match open {
            Some(_) => None,
            None => Some(quote),
        };
    }
}

/// The programs that a line starts.
fn programs(line: &str, next: &str) -> Vec<String> {
    let mut found = Vec::new();
    for call in CALLS {
        let Some(at) = line.find(call) else {
            continue;
        };
        let before = line.get(..at).unwrap_or_default();
        // Part of another name.
        if before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '.') {
            continue;
        }
        let mut rest = line.get(at + call.len()..).unwrap_or_default().trim();
        if rest.is_empty() || rest == "[" {
            rest = next;
        }
        let rest = rest.trim_start_matches(['[', '(', ' ', 'f', 'r', 'b']);
        found.extend(first_word(rest));
    }
    found
}

/// The program of a command that is written down before it is run: `command = 'ffmpeg -y -i {}'`.
fn written_command(line: &str) -> Option<String> {
    let (_, value) = line.split_once('=')?;
    let value = value.trim_start().trim_start_matches(['f', 'r', '(', ' ']);
    let has_option = value.split(' ').nth(1)?.starts_with('-');
    first_word(value).filter(|_| has_option)
}

/// The program of `"ffmpeg -i x"` or `'git', 'status'`.
fn first_word(text: &str) -> Option<String> {
    let quote = text.chars().next().filter(|c| ['"', '\''].contains(c))?;
    let text = text.trim_start_matches(quote);
    let inside = text.split(quote).next()?;
    let mut words = inside.split([' ', '|', ';', '&', '>']);
    let word = words.find(|word| !word.is_empty() && !word.contains('='))?;
    let name = word.rsplit('/').next()?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.+".contains(c);
    (!name.is_empty() && name.len() <= 40 && name.chars().all(is_plain)).then(|| name.to_owned())
}

/// Calls of PyTorch's loaders of extensions, which run a compiler.
fn loads_extension(line: &str) -> bool {
    let calls = ["load", "load_inline"]
        .into_iter()
        .flat_map(|name| [format!("cpp_extension.{name}("), format!("= {name}(")]);
    let mut calls = calls;
    calls.any(|call| line.contains(&call)) && !line.contains(".load(open")
}

fn compiles_kernels(line: &str) -> bool {
    let line = line.trim_start();
    let is_decorator = line.starts_with("@triton.jit") || line.starts_with("@torch.compile");
    let before = line.split("torch.compile(").next().unwrap_or_default();
    let is_call = before.len() < line.len() && !before.contains(['"', '\'', '#']);
    is_decorator || is_call
}

/// Whether a line is a statement of Python 2 that Python 3 can't read: `print "x"`, `except X, e:`.
fn is_python2(line: &str) -> bool {
    let line = line.trim();
    let is_print = ["print \"", "print '", "print u'", "print u\""]
        .iter()
        .any(|start| line.starts_with(start));
    let caught = line
        .strip_prefix("except ")
        .and_then(|rest| rest.strip_suffix(':'));
    let is_except = caught.is_some_and(|caught| {
        let parts: Vec<&str> = caught.split(", ").collect();
        let is_name = |text: &&str| {
            text.chars()
                .all(|c| c.is_alphanumeric() || ['_', '.'].contains(&c))
        };
        // Of two classes of errors, Python 3.14 needs no brackets.
        let is_variable = |text: &str| {
            !text.contains('.') && text.starts_with(|c: char| c.is_lowercase() || c == '_')
        };
        parts.len() == 2 && parts.iter().all(is_name) && is_variable(parts[1])
    });
    is_print || is_except
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Code {
        let mut found = Code::default();
        of_module("m.py", text, &mut found);
        found
    }

    #[test]
    fn programs_that_the_code_starts() {
        for (text, names) in [
            ("subprocess.run(['ffmpeg', '-i', x])\n", &["ffmpeg"][..]),
            ("os.system(f\"git clone {x}\")\n", &["git"]),
            (
                "out = subprocess.check_output(\"sox a b\", shell=True)\n",
                &["sox"],
            ),
            (
                "x = subprocess.Popen(\n    ['/usr/bin/wget', '-q']\n)\n",
                &["wget"],
            ),
            ("subprocess.call([\n  \"unzip\",\n])\n", &["unzip"]),
            ("if shutil.which('ffprobe') is None:\n", &["ffprobe"]),
            ("os.system('CUDA_VISIBLE_DEVICES=0 git pull')\n", &["git"]),
            ("os.system('git a'); os.popen('git b')\n", &["git"]),
            (
                "c = 'ffmpeg -y -i {}'.format(x)\nsubprocess.call(c, shell=True)\n",
                &["ffmpeg"],
            ),
            ("c = 'ffmpeg -y -i {}'\nprint(c)\n", &[]),
            ("x = 'git is needed'\nsubprocess.run(args)\n", &[]),
            ("os.system(command)\nsubprocess.run(args)\n", &[]),
            ("# os.system('git pull')\n", &[]),
            ("'''\nos.system('git pull')\n'''\n", &[]),
            ("subprocess.run([sys.executable, '-m', 'x'])\n", &[]),
            ("mysubprocess.run(['ffmpeg'])\n", &[]),
        ] {
            let found = of(text).programs;
            let found: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(found, names, "{text}");
        }
    }

    #[test]
    fn code_that_is_compiled_when_it_runs() {
        for (text, extension, kernels) in [
            (
                "from torch.utils.cpp_extension import load\nm = load(name='x')\n",
                Some(2),
                None,
            ),
            (
                "import torch.utils.cpp_extension as cpp_extension\nm = cpp_extension.load_inline(x)\n",
                Some(2),
                None,
            ),
            ("m = torch.utils.cpp_extension.load(\n", Some(1), None),
            (
                "from torch.utils.cpp_extension import CUDAExtension\nx = torch.load('a')\n",
                None,
                None,
            ),
            ("data = load('a')\n", None, None),
            ("model = torch.compile(model)\n", None, Some(1)),
            ("@triton.jit\ndef f(): pass\n", None, Some(1)),
            (
                "# torch.compile(model)\nprint('torch.compile(x)')\n",
                None,
                None,
            ),
            ("re.compile('x')\n", None, None),
        ] {
            let found = of(text);
            let at = |line: Option<usize>| line.map(|line| format!("m.py:{line}"));
            assert_eq!(
                (found.extension, found.kernels),
                (at(extension), at(kernels)),
                "{text}"
            );
        }
    }

    #[test]
    fn statements_of_python_2() {
        for (text, is_old) in [
            ("print \"x\"\n", true),
            ("    print 'x', y\n", true),
            ("except ValueError, e:\n", true),
            ("print('x')\n", false),
            ("except (ValueError, e):\n", false),
            ("except ValueError as e:\n", false),
            ("'''\nprint \"x\"\n'''\n", false),
            ("# print 'x'\n", false),
        ] {
            assert_eq!(of(text).python2.is_some(), is_old, "{text}");
        }
    }
}
