//! The reference documents are written from the program's own definitions, and these tests keep
//! them the same. To write them anew: `MLBUILD_WRITE_DOCS=1 cargo test --test daemonless docs`.

use std::{fmt::Write as _, fs, path::Path};

use crate::support::repository;

/// Compares a document with its definition, or writes it.
fn check(name: &str, text: &str) {
    let path = repository().join("docs").join(name);
    if std::env::var_os("MLBUILD_WRITE_DOCS").is_some() {
        fs::create_dir_all(path.parent().expect("docs")).expect("docs can be made");
        fs::write(&path, text).expect("docs can be written");
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    let first = written.lines().zip(text.lines()).position(|(a, b)| a != b);
    assert!(
        written == text,
        "docs/{name} is out of date (first difference at line {}): run MLBUILD_WRITE_DOCS=1 cargo test --test daemonless docs",
        first.map_or(written.lines().count(), |l| l) + 1
    );
}

#[test]
fn the_command_line() {
    let options = clap_markdown::MarkdownOptions::new()
        .title("The command line".to_owned())
        .show_footer(false);
    let text = clap_markdown::help_markdown_command_custom(&mlbuild_cli::definition(), &options);
    // Usage lines of our own begin with the program's name; the library puts it before all of them.
    let text = text.replace("`mlbuild mlbuild ", "`mlbuild ");
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    check("cli.md", &format!("{}\n", lines.join("\n").trim_end()));
}

#[test]
fn the_environment() {
    let mut text = String::from(
        "# Environment variables\n\nFlags win over variables, and variables over `mlbuild.toml`.\n\n| variable | what it does |\n| --- | --- |\n",
    );
    for variable in mlbuild::env_vars::ALL {
        let (name, about) = (variable.name, variable.about);
        writeln!(text, "| `{name}` | {about} |").expect("a string grows");
    }
    check("environment.md", &text);
}

#[test]
fn the_schema_of_mlbuild_toml() {
    check(
        "mlbuild.schema.json",
        &format!("{}\n", mlbuild::config::schema().trim_end()),
    );
}

/// A row of the table of promises whose test isn't there promises nothing.
#[test]
fn each_promise_of_the_security_page_names_tests_that_are_there() {
    let root = repository();
    let page = fs::read_to_string(root.join("docs/security.md")).unwrap();
    let table = page.lines().filter(|line| line.starts_with("| "));
    let last = table.filter_map(|line| line.trim_end_matches('|').rsplit_once('|'));
    let names: Vec<&str> = last
        .flat_map(|(_, tests)| tests.split('`').skip(1).step_by(2))
        .collect();
    assert!(names.len() > 50, "{names:?}");
    let missing: Vec<&str> = names
        .into_iter()
        .filter(|name| !has_tests(&root, name))
        .collect();
    assert!(missing.is_empty(), "no tests are called {missing:?}");
}

/// `builder::log_ins` is a module of any of our crates, `daemons strangers` one of a test program's.
fn has_tests(root: &Path, name: &str) -> bool {
    let path = name.replace("::", "/").replace(' ', "/");
    let last = name.rsplit([' ', ':']).next().unwrap_or(name);
    let mut places = vec![
        format!("integration/{path}"),
        format!("integration/daemonless/{path}"),
    ];
    places.push(format!("src/{path}"));
    for member in [
        "files",
        "manifests",
        "secrets",
        "docker",
        "buildkit",
        "wheels",
        "templates",
        "progress",
    ] {
        let inner = path.strip_prefix(&format!("{member}/")).unwrap_or(&path);
        places.push(format!("{member}/src/{inner}"));
        places.push(format!("{member}/tests/{last}"));
        places.push(format!("{member}/src/tests/{last}"));
        if path == member {
            places.push(format!("{member}/src/lib"));
        }
    }
    places.push(format!("cli/src/{path}"));
    places.push(format!("cli/src/support/{path}"));
    let is_test = |file: &str| {
        let text = fs::read_to_string(root.join(file)).unwrap_or_default();
        ["#[test]", "#[tokio::test", "proptest!"]
            .iter()
            .any(|mark| text.contains(mark))
    };
    places.iter().any(|place| {
        is_test(&format!("{place}.rs"))
            || is_test(&format!("{place}/mod.rs"))
            || is_test(&format!("{place}/tests.rs"))
    })
}

/// The book is made of `docs/SUMMARY.md`: a page that it leaves out is one that nobody finds.
#[test]
fn the_book_has_each_page_once() {
    let folder = repository().join("docs");
    let summary = fs::read_to_string(folder.join("SUMMARY.md")).unwrap();
    let links = summary.lines().filter_map(|line| line.rsplit_once("]("));
    let mut linked: Vec<&str> = links
        .filter_map(|(_, page)| page.strip_suffix(')'))
        .collect();
    linked.sort_unstable();
    let entries = fs::read_dir(&folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut pages: Vec<String> = names
        .filter(|name| name.ends_with(".md") && name != "SUMMARY.md")
        .collect();
    pages.sort_unstable();
    assert_eq!(linked, pages);
}
