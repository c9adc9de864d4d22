//! The reference documents are written from the program's own definitions, and these tests keep
//! them the same. To write them anew: `MLBUILD_WRITE_DOCS=1 cargo test --test daemonless docs`.

use std::{fmt::Write as _, fs, path::Path};

/// Compares a document with its definition, or writes it.
fn check(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docs")
        .join(name);
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
    let text = clap_markdown::help_markdown_command_custom(&mlbuild::cli::definition(), &options);
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
