//! Setup scripts that can't be followed or read, and what they are told by variables.

use mlbuild_templates::{ComposeContext, Composition, ImageSpec, compose};

fn composed(files: &[(&str, &str)], spec: &str) -> Composition {
    let project = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(project.path().join(name), text).unwrap();
    }
    let context = ComposeContext {
        project: Some(project.path()),
        ..ComposeContext::default()
    };
    compose(&toml::from_str::<ImageSpec>(spec).unwrap(), &context).unwrap()
}

fn said(done: &Composition) -> String {
    let warnings = done.warnings.iter();
    let lines = warnings.map(|w| format!("{}; {}", w.message, w.hint.as_deref().unwrap_or("")));
    lines.collect::<Vec<_>>().join("\n")
}

const SCRIPT: &str = "python.requirements = ['setup.py']";

#[test]
fn a_list_that_is_taken_whole_is_said() {
    for (script, line) in [
        // Code that can't be followed reads it.
        (
            "def read(path):\n    return filtered(path)\nsetup(name='x', install_requires=read('requirements.txt'))\n",
            Some("setup.py:3: what it makes of requirements.txt (setup.py:3)"),
        ),
        (
            "import os\nlines = os.popen('cat requirements.txt').readlines()\nsetup(name='x', install_requires=lines)\n",
            Some("setup.py:3: what it makes of requirements.txt (setup.py:2)"),
        ),
        // It was followed: all of it, and a part.
        (
            "setup(name='x', install_requires=open('requirements.txt').read().splitlines())\n",
            None,
        ),
        (
            "setup(name='x', install_requires=[l.strip() for l in open('requirements.txt') if 'six' in l])\n",
            None,
        ),
    ] {
        let list = ("requirements.txt", "numpy\nsix\n");
        for spec in [SCRIPT, "python.requirements = ['all.txt']"] {
            let done = composed(&[("setup.py", script), list, ("all.txt", "-e .\n")], spec);
            let said = said(&done);
            match line {
                Some(line) => {
                    assert!(said.contains(line), "{script}: {said}");
                    assert!(done.unused_part.is_some(), "{script}: --strict refuses it");
                }
                None => assert!(!said.contains("what it makes of"), "{script}: {said}"),
            }
        }
    }
}

#[test]
fn a_script_that_python_cant_read_is_said() {
    for (script, fault) in [
        (
            "setup(name='x', install_requires=['six'])\nx = 'never\n",
            "setup.py:2: Python can't read the script: the string that begins there has no end",
        ),
        (
            "\"\"\"about\nsetup(install_requires=['six'])\n",
            "setup.py:1: Python can't read the script: the string",
        ),
        (
            "setup(name='x',\n  install_requires=['six']\n",
            "setup.py:1: Python can't read the script: the bracket that opens there is never closed",
        ),
        (
            "setup(name='x', install_requires=['six'))\n",
            "setup.py:1: Python can't read the script: a bracket that closes another",
        ),
        (
            "setup(name='x' version='1')\n",
            "setup.py:1: Python can't read the script: something is missing before it",
        ),
        (
            "setup(name='x')\n  setup()\n",
            "setup.py:2: Python can't read the script: it is indented",
        ),
        (
            "def f():\nsetup(name='x')\n",
            "setup.py:1: Python can't read the script: the block that begins there is empty",
        ),
        (
            "if True:\n        x = 1\n    y = 2\nsetup(name='x')\n",
            "setup.py:3: Python can't read the script: an indentation",
        ),
        (
            "setup(name=$x)\n",
            "setup.py:1: Python can't read the script: a character",
        ),
    ] {
        let done = composed(&[("setup.py", script)], SCRIPT);
        assert!(said(&done).contains(fault), "{script}: {}", said(&done));
        let done = composed(
            &[("setup.py", script), ("all.txt", "-e .\n")],
            "python.requirements = ['all.txt']",
        );
        assert!(
            said(&done).contains(fault),
            "-e .: {script}: {}",
            said(&done)
        );
    }
}

#[test]
fn a_script_that_python_reads_is_no_broken_one() {
    for script in [
        "x = f\"{d['a']!r} and {d[\"b\"]}\"\nsetup(name='x')\n",
        "def f(a: int, *, b=1) -> 'str': return not a\nsetup(name='x', url=f(1))\n",
        "class A:\n\tx = 1\n\tdef f(self):\n\t\treturn 1 if self.x else 2\nsetup(name='x')\n",
        "try:\n    import a\nexcept ImportError:\n    a = None\nfinally:\n    pass\nsetup(name='x')\n",
        "x = [i for i in y if i is not None and i in z]\nasync def f():\n    await g()\nsetup(name='x')\n",
        "long = ('a' 'b'\n  \"c\" r'd' b'')\nassert long, 'x'\nraise SystemExit from None\n",
        "match x:\n    case [1, 2]:\n        pass\ntype X = int\nsetup(name='x')\n",
        "@decorator\n\ndef f(): pass\n\n\nif x: y = 1\nelse: y = 2\nsetup(name='x')\\\n\n",
        "x = {1: 2,\n 3: lambda a: a}[1:2]\nwith open('a') as f, open('b') as g:\n    # only a comment\n    pass\nsetup(name='x', **{'y': 0x1F, 'z': 1_000.5e-3, 'w': 1j})\n",
        "if True:\n\tx = 1\n        # a comment of another depth\n\ty = 2\nsetup(name='x')\n",
        "x = '''a\n  'b' \\' ''' + \"\\\"\"\nsetup(name='x')\n",
        "print >>sys.stderr, 'x'\nprint 'of Python 2'\nsetup(name='x')\n",
        "\u{feff}# -*- coding: utf-8 -*-\nsetup(name='ä', description=u'é')\r\n",
    ] {
        let done = composed(&[("setup.py", script)], SCRIPT);
        assert!(
            !said(&done).contains("can't read the script"),
            "{script}: {}",
            said(&done)
        );
    }
}

#[test]
fn variables_of_the_image_are_those_that_a_script_sees() {
    let script = "import os\nR = ['six']\nif os.environ.get('WITH_TORCH', '0') == '1':\n    R.append('torch==2.6.0')\nif 'EXTRA' in os.environ:\n    R.append(os.environ['EXTRA'])\nif os.getenv('CUDA_HOME') is None:\n    pass\nsetup(name='x', install_requires=R)\n";
    for (env, has, lacks) in [
        ("", " six;", "torch==2.6.0"),
        ("[env]\nWITH_TORCH = '1'\n", "torch==2.6.0", "numpy=="),
        (
            "[env]\nEXTRA = 'numpy==1.26.4'\n",
            "numpy==1.26.4",
            "torch==",
        ),
    ] {
        let done = composed(&[("setup.py", script)], &format!("{SCRIPT}\n{env}"));
        assert!(done.text.contains(has), "{env}: {}", done.text);
        assert!(!done.text.contains(lacks), "{env}: {}", done.text);
    }
    // One that names another, and one that the script sets itself, can't be told.
    for (env, script) in [
        (
            "[env]\nEXTRA = '$HOME'\n",
            "import os\nsetup(name='x', install_requires=['six', os.environ['EXTRA']])\n",
        ),
        (
            "",
            "import os\nos.environ['A'] = '1'\nsetup(name='x', install_requires=['six'] if os.getenv('A') else [])\n",
        ),
    ] {
        let done = composed(&[("setup.py", script)], &format!("{SCRIPT}\n{env}"));
        assert!(
            said(&done).contains("worked out by code"),
            "{}",
            said(&done)
        );
    }
}
