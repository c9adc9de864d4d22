use std::fmt::Write as _;

use super::{Argument, Setup, setup};

fn followed(text: &str) -> Option<Setup> {
    let open = |path: &str| match path {
        "requirements.txt" => Some("# of the model\na>=1\n\nb  # why\n".to_owned()),
        "reqs/extra.txt" => Some("c\n".to_owned()),
        _ => None,
    };
    setup(text, &open, None)
}

/// The requirements, joined; `?` where they can't be told, `-` where there are none.
fn requires(text: &str) -> String {
    match followed(text).map(|setup| setup.requires) {
        Some(Argument::Known(lines)) => lines.join(" "),
        Some(Argument::Absent) => "-".into(),
        Some(Argument::Unknown) | None => "?".into(),
    }
}

#[test]
fn lists_that_are_put_together_in_the_usual_ways() {
    for (text, lines) in [
        ("setup(install_requires=['a', \"b>=1\"])", "a b>=1"),
        ("REQS = ['a']\nsetup(install_requires=REQS)", "a"),
        ("A = ['a']\nB = ['b']\nsetup(install_requires=A + B)", "a b"),
        (
            "A = ['a']\nA += ['b']\nA.append('c')\nA.extend(['d'])\nsetup(install_requires=A)",
            "a b c d",
        ),
        (
            "A = ['a', 'x']\nB = A\nB.remove('x')\nsetup(install_requires=A)",
            "a",
        ),
        ("setuptools.setup(install_requires=('a', 'b'))", "a b"),
        (
            "V = '2.0'\nsetup(install_requires=[f'torch=={V}', 'b==%s' % V, 'c=={}'.format(V), 'd==' + V])",
            "torch==2.0 b==2.0 c==2.0 d==2.0",
        ),
        ("setup(install_requires='a\\nb')", "a b"),
        ("setup(install_requires=['a' 'b'])", "ab"),
        ("setup(**{'install_requires': ['a']})", "a"),
        (
            "args = dict(name='x', install_requires=['a'])\nsetup(**args)",
            "a",
        ),
        (
            "args = {}\nargs['install_requires'] = ['a']\nsetup(**args)",
            "a",
        ),
        // Files.
        (
            "setup(install_requires=open('requirements.txt').read().splitlines()[1:2])",
            "a>=1",
        ),
        (
            "setup(install_requires=[l.strip() for l in open('requirements.txt') if l.strip() and not l.startswith('#')])",
            "a>=1 b  # why",
        ),
        (
            "with open('reqs/extra.txt') as f:\n    R = f.read().split('\\n')[:-1]\nsetup(install_requires=R)",
            "c",
        ),
        (
            "import os\nhere = os.path.abspath(os.path.dirname(__file__))\nwith open(os.path.join(here, 'reqs', 'extra.txt'), encoding='utf-8') as f:\n    R = f.read().strip().split()\nsetup(install_requires=R)",
            "c",
        ),
        (
            "from pathlib import Path\nR = (Path(__file__).parent.resolve() / 'reqs' / 'extra.txt').read_text().splitlines()\nsetup(install_requires=R)",
            "c",
        ),
        (
            "def read(path):\n    \"\"\"Reads.\"\"\"\n    with open(path) as f:\n        return [line.split('#')[0].strip() for line in f if line.strip() and not line.startswith('#')]\nsetup(install_requires=read('requirements.txt'))",
            "a>=1 b",
        ),
        (
            "def read(path='reqs/extra.txt'):\n    found = []\n    with open(path) as f:\n        for line in f.readlines():\n            line = line.strip()\n            if not line or line.startswith(('#', '-')):\n                continue\n            found.append(line)\n    return found\nsetup(install_requires=read())",
            "c",
        ),
        (
            "setup(install_requires=parse_requirements('requirements.txt'))",
            "a>=1 b",
        ),
        (
            "from pip._internal.req import parse_requirements as parse\nR = [str(r.requirement) for r in parse('requirements.txt', session=False)]\nsetup(install_requires=R)",
            "a>=1 b",
        ),
        (
            "import pkg_resources\nwith open('requirements.txt') as f:\n    R = [str(r) for r in pkg_resources.parse_requirements(f)]\nsetup(install_requires=R)",
            "a>=1 b",
        ),
        (
            "setup(install_requires=list(map(str.strip, open('reqs/extra.txt'))))",
            "c",
        ),
        (
            "setup(install_requires=list(filter(None, ['a', '', 'b'])))",
            "a b",
        ),
        (
            "try:\n    with open('reqs/extra.txt') as f:\n        R = f.read().split()\nexcept OSError:\n    R = []\nsetup(install_requires=R)",
            "c",
        ),
        // Tables of names.
        (
            "import re\n_deps = ['torch>=1.0,!=1.1', 'numpy']\ndeps = {b: a for a, b in (re.findall(r'^(([^!=<>~ ]+)(?:[!=<>~ ].*)?$)', x)[0] for x in _deps)}\ndef deps_list(*pkgs):\n    return [deps[pkg] for pkg in pkgs]\nR = [deps['numpy']] + deps_list('torch')\nsetup(install_requires=R)",
            "numpy torch>=1.0,!=1.1",
        ),
        (
            "E = {'a': ['x'], 'b': ['y']}\nsetup(install_requires=sum(E.values(), []))",
            "x y",
        ),
        (
            "import itertools\nE = {'a': ['x'], 'b': ['y']}\nsetup(install_requires=list(itertools.chain(*E.values())))",
            "x y",
        ),
        (
            "E = {'a': ['x'], 'b': ['y']}\nsetup(install_requires=[p for ps in E.values() for p in ps])",
            "x y",
        ),
        (
            "R = [\n    'a',  # one\n    'b' if True else 'c',\n]\nif __name__ == '__main__':\n    setup(install_requires=R)",
            "a b",
        ),
        (
            "def main():\n    setup(install_requires=['a'])\nmain()",
            "a",
        ),
        (
            "import sys\nR = ['a']\nif sys.version_info < (3, 5):\n    R.append('typing')\nif sys.platform == 'darwin':\n    R.append('x')\nsetup(install_requires=R)",
            "a",
        ),
        (
            "import os\nname = os.getenv('NAME', 'a')\nsetup(install_requires=[name])",
            "a",
        ),
        (
            "class Build(build_ext):\n    def run(self):\n        R.append('x')\nR = ['a']\nsetup(install_requires=R, cmdclass={'build_ext': Build, 'x': f(y)})",
            "a",
        ),
        // As tutorials have it.
        (
            "E = '-e .'\ndef get(path: str) -> List[str]:\n    \"\"\"Reads.\"\"\"\n    found = []\n    with open(path) as f:\n        found = f.readlines()\n        found = [r.replace('\\n', '') for r in found]\n        if E in found:\n            found.remove(E)\n    return found\nsetup(install_requires=get('reqs/extra.txt'))",
            "c",
        ),
        (
            "def get() -> List[str]:\n    found: List[str] = []\n    try:\n        with open('reqs/extra.txt', 'r') as f:\n            for line in f.readlines():\n                r = line.strip()\n                if r and r != '-e .':\n                    found.append(r)\n    except FileNotFoundError:\n        print('none')\n    return found\nsetup(install_requires=get())",
            "c",
        ),
        (
            "def get():\n    try:\n        with open('reqs/extra.txt') as f:\n            return f.read().splitlines()\n    except FileNotFoundError as e:\n        print(f'{e}')\n        return []\nsetup(install_requires=get())",
            "c",
        ),
        (
            "R = ['#a', '#b', 'c']\nfor r in R:\n    if r.startswith('#'):\n        R.remove(r)\nsetup(install_requires=R)",
            "#b c",
        ),
        (
            "import os\ndef _read(name):\n    try:\n        return open(os.path.join(os.path.dirname(__file__), name)).read()\n    except IOError:\n        return ''\nsetup(install_requires=_read('reqs/extra.txt').split(), long_description=_read('none.md'))",
            "c",
        ),
        (
            "import sys\nif sys.version_info < (3, 4):\n    R = ['a', 'b']\nelse:\n    R = ['a']\nsetup(install_requires=R)",
            "a",
        ),
        (
            "import os\nif int(os.getenv('LITE', '0')) == 1:\n    R = ['x']\nelse:\n    R = ['a']\nsetup(install_requires=R)",
            "a",
        ),
        (
            "def main(version):\n    R = ['a']\n    setup(version=version, install_requires=R)\nif __name__ == '__main__':\n    version = ''\n    if sys.argv:\n        version = sys.argv[-1]\n    try:\n        main(version)\n    except Exception as e:\n        print(e)",
            "a",
        ),
        (
            "try:\n    from setuptools import setup\nexcept ImportError:\n    from distutils.core import setup\nsetup(install_requires=['a'])",
            "a",
        ),
        (
            "e = []\ntry:\n    setup(install_requires=['a'], ext_modules=e)\nexcept BuildFailed:\n    setup(install_requires=['a'])",
            "a",
        ),
        (
            "R = [l.strip() for l in ['#a', 'b\\n', 'c'] if l[0] != '#' and l[-1] != 'c']\nsetup(install_requires=R)",
            "b",
        ),
        ("setup(name='x')", "-"),
        ("setup(install_requires=None)", "-"),
    ] {
        assert_eq!(requires(text), lines, "{text}");
    }
}

#[test]
fn what_is_not_understood_makes_nothing_of_what_it_touches() {
    for text in [
        "setup(install_requires=more())",
        "setup(**arguments())",
        "setup(install_requires=['a'] + more())",
        "R = ['a']\nfor r in R:\n    R.append(r)\nsetup(install_requires=R)",
        "R = ['x']\ndef f():\n    R = ['a']\n    def g():\n        return R\n    return g()\nsetup(install_requires=f())",
        "def f():\n    def add(x):\n        R.append(x)\n    R = []\n    add('a')\n    return R\nsetup(install_requires=f())",
        "if has_cuda():\n    setup(install_requires=['a'])\n    sys.exit()\nsetup(install_requires=['b'])",
        "while more():\n    setup(install_requires=['a'])\nsetup(install_requires=['b'])",
        "R = ['a']\nif os.path.exists('csrc'):\n    R.append('ninja')\nsetup(install_requires=R)",
        "R = ['a']\nfill(R)\nsetup(install_requires=R)",
        "R = ['a']\nB = [R]\nfill(B)\nsetup(install_requires=R)",
        "R = ['a']\nif has_cuda():\n    R.append('b')\nsetup(install_requires=R)",
        "R = ['a']\nif has_cuda():\n    R = ['b']\nsetup(install_requires=R)",
        "R = ['a']\nwhile x:\n    R.append('b')\nsetup(install_requires=R)",
        "R = ['a']\nfor x in more():\n    R.append('b')\nsetup(install_requires=R)",
        "R = ['a']\ntry:\n    import torch\nexcept ImportError:\n    R.append('torch')\nsetup(install_requires=R)",
        "R = ['a']\ndef f():\n    global R\n    R = ['b']\nf()\nsetup(install_requires=R)",
        "R = ['a']\ndef f():\n    if x():\n        return ['b']\n    return R\nsetup(install_requires=f())",
        "R = ['a']\nR[0] = 'b'\nsetup(install_requires=R)",
        "R = ['a']\nfrom more import *\nsetup(install_requires=R)",
        "import sys\nR = ['a']\nif sys.version_info < (3, 11):\n    R.append('tomli')\nsetup(install_requires=R)",
        "R = ['a']\ndel R[0]\nsetup(install_requires=R)",
        "R = ['a']\n(R := ['b'])\nsetup(install_requires=R)",
        "from build import parse_requirements\nsetup(install_requires=parse_requirements('requirements.txt'))",
        "setup(install_requires=open('none.txt').read().split())",
        "setup(install_requires=open('../requirements.txt').read().split())",
        "setup(install_requires=['a'])\nsetup(install_requires=['b'])",
        "if has_cuda():\n    setup(install_requires=['a'])",
        "setup(install_requires=[os.environ['X']])",
        "setup(install_requires=['a'",
        "setup(install_requires='''a)",
        "",
    ] {
        assert_eq!(requires(text), "?", "{text}");
    }
}

#[test]
fn extras_are_known_one_by_one() {
    let text = "E = {'a': ['x'], 'b': ['y'] + more()}\nE['all'] = sum(E.values(), [])\nE['c'] = E['a'] + ['z']\nsetup(extras_require=E, python_requires='>=' + '3.8')";
    let found = followed(text).unwrap();
    let lines = |lines: &[&str]| Some(lines.iter().map(|line| (*line).to_owned()).collect());
    assert_eq!(
        found.extras,
        Argument::Known(vec![
            ("a".into(), lines(&["x"])),
            ("b".into(), None),
            ("all".into(), None),
            ("c".into(), lines(&["x", "z"])),
        ])
    );
    assert_eq!(found.python, Argument::Known(">=3.8".into()));
}

/// Whatever a stranger writes, neither memory nor time nor the stack is used up.
#[test]
fn nothing_grows_without_bounds() {
    let doubled = |line: &str| {
        format!(
            "a = ['x' * 1, 'y']\nt = 'xxxxxxxx'\n{}setup(install_requires=a)",
            line.repeat(64)
        )
    };
    let mut texts = vec![
        doubled("a = a + a\n"),
        doubled("a += a\n"),
        doubled("a.extend(a)\n"),
        doubled("a = [*a, *a]\n"),
        doubled("a = [a, a]\n"),
        doubled("a = {'k': a, 'l': a}\n"),
        doubled("t = t + t\n"),
        doubled("t = f'{t}{t}'\n"),
        doubled("t = t.replace('x', t)\n"),
        doubled("t = t.join([t, t, t])\n"),
        doubled("t = '{0}{0}'.format(t)\n"),
        doubled("t = '%s%s' % (t, t)\n"),
        doubled("a = [x for x in a for y in a]\n"),
        doubled("a.append(a)\n"),
        "def f(x):\n    return f(x) + f(x)\nsetup(install_requires=f(1))".to_owned(),
        "def f(x):\n    for a in x:\n        f(x)\n    return x\nsetup(install_requires=f(['a', 'b', 'c']))".to_owned(),
        "d = {}\nd['a'] = d\nd['b'] = [d]\nsetup(install_requires=d)".to_owned(),
        "import re\nsetup(install_requires=re.findall('(a{1000}){1000}{1000}', 'a'))".to_owned(),
    ];
    // What is short, and long where it is used: 8,192 times a text of 1 MiB, or as many turns.
    let long = format!(
        "L = ['a']\n{}t = 'xxxxxxxx'\n{}R = [t]\n{}",
        "L = L + L\n".repeat(13),
        "t = t + t\n".repeat(17),
        "R = R + R\n".repeat(13),
    );
    for line in [
        "setup(install_requires=R)".to_owned(),
        "setup(install_requires=[''.join(R)])".to_owned(),
        "setup(install_requires=['a'.startswith(R)])".to_owned(),
        format!("setup(install_requires=[{}])", "*L,".repeat(19_000)),
        format!("setup(install_requires=f({}))", "*L,".repeat(14_000)),
        format!("x = []\nfor i in L: x = x{}", ".a".repeat(200)),
        "for i in L: x = 'y' in t".to_owned(),
        "for i in L: x = t == t + 'a'".to_owned(),
        format!("x = t{}", ".parent".repeat(20_000)),
        "import re\nfor i in L: re.findall('.*[^x]|[x]', t)".to_owned(),
    ] {
        texts.push(format!("{long}{line}"));
    }
    for open in [
        "(",
        "[",
        "{",
        "f(",
        "a[",
        "not ",
        "-",
        "x if y else ",
        "lambda: ",
        "{1:",
        "f'{",
        "if x:\n ",
    ] {
        texts.push(format!("setup(install_requires={})", open.repeat(20_000)));
        texts.push(open.repeat(20_000));
    }
    let mut blocks = String::new();
    for level in 0..2000 {
        let _ = writeln!(blocks, "{}if x:", " ".repeat(level.min(100)));
    }
    texts.push(blocks);
    for sign in [
        "+", ".a", "()", "[0]", " and a", " < a", ";", "\n", ",", " 'a'",
    ] {
        texts.push(format!("x = a{}", sign.repeat(60_000 / sign.len())));
        texts.push(format!("x = a{}", format!("{sign}a").repeat(20_000)));
    }
    let many: String = (0..9_000).map(|n| format!("'p{n}',")).collect();
    texts.push(format!(
        "R = [{many}]\nB = [x for x in R if x in R]\nsetup(install_requires=B)"
    ));
    texts.push(format!(
        "R = {{{}}}\nfor x in R:\n    y = R[x]\nsetup(install_requires=R)",
        many.replace(',', ":1,")
    ));
    let begun = std::time::Instant::now();
    for text in texts {
        let started = std::time::Instant::now();
        let found = followed(&text);
        let most = found.map_or(0, |found| match found.requires {
            Argument::Known(lines) => lines.iter().map(String::len).sum(),
            _ => 0,
        });
        assert!(most <= 1 << 20, "{most} bytes");
        let part: String = text.chars().take(60).collect();
        assert!(
            started.elapsed().as_secs() < 20,
            "{part:?} took {:?}",
            started.elapsed()
        );
    }
    println!("{:?}", begun.elapsed());
}

/// What CPython makes of scripts: each has its own names, `setuptools` notes what `setup` is given.
const PYTHON: &str = r##"
import contextlib, copy, io, json, os, sys, types
os.chdir(sys.argv[1])
given = []
stub = types.ModuleType("setuptools")
stub.setup = lambda **named: given.append(copy.deepcopy(named))
stub.find_packages = lambda *a, **b: []
sys.modules["setuptools"] = stub
found = []
for script in json.load(sys.stdin):
    given.clear()
    with contextlib.redirect_stdout(io.StringIO()):
        module = types.ModuleType("__main__")
        sys.modules["__main__"] = module
        exec(script, module.__dict__)
    found.append(given[0].get("install_requires"))
json.dump(found, sys.stdout)
"##;

const LIST: &str = "six\n# comment\n\ntqdm\n";

/// What is said to be known is what Python finds: whatever statement of the language a script uses.
#[test]
fn nothing_is_known_that_python_finds_otherwise() {
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    let (scripts, names): (Vec<&str>, Vec<&str>) = include_str!("scripts.txt")
        .split("#### ")
        .skip(1)
        .filter_map(|part| part.split_once('\n'))
        .map(|(name, script)| (script, name))
        .unzip();
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in [("req.txt", LIST), ("req2.txt", "numpy\n")] {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    let mut python = Command::new("python3")
        .args(["-c", PYTHON])
        .arg(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = python.stdin.take().unwrap();
    write!(input, "{}", serde_json::json!(scripts)).unwrap();
    drop(input);
    let said = python.wait_with_output().unwrap();
    assert!(said.status.success());
    let found: Vec<Vec<String>> = serde_json::from_slice(&said.stdout).unwrap();
    let open = |path: &str| std::fs::read_to_string(folder.path().join(path)).ok();
    let mut known = 0;
    for ((script, name), found) in scripts.iter().zip(&names).zip(&found) {
        // A set has no order, and pip takes a line once.
        let sorted = |lines: &[String]| {
            let mut lines = lines.to_vec();
            lines.sort();
            lines.dedup();
            lines
        };
        match setup(script, &open, None).map(|setup| setup.requires) {
            Some(Argument::Known(lines)) => {
                assert_eq!(sorted(&lines), sorted(found), "{name}");
                known += 1;
            }
            Some(Argument::Unknown) | None => {}
            Some(Argument::Absent) => panic!("{name}: no list"),
        }
    }
    assert!(
        known * 5 > scripts.len() * 2,
        "{known} of {}",
        scripts.len()
    );
}
