//! `docs/config.md` is written from the schema of `mlbuild.toml`, and these tests
//! keep both the same. To write it anew:
//! `MLBUILD_WRITE_DOCS=1 cargo test --test daemonless config_page`.

use std::fmt::Write as _;

use serde_json::Value;

use crate::support::{read, repository};

const HEAD: &str = "\
# mlbuild.toml

What `mlbuild image` builds and how `mlbuild run` starts it, written down. It lies in the project's
folder. `mlbuild init` writes one from what the folder holds, with every usual key in it. Flags win
over the file.

An unknown key is an error that names the line and the nearest known key. Editors that know
TOML schemas complete and check the file with [mlbuild.schema.json](mlbuild.schema.json), which
`mlbuild schema` prints. Nothing in the file has to be set: an empty one is a valid one.

```toml
[image]
tag = \"ghcr.io/me/cracks:latest\"
template = \"tensorflow\"
gpu = \"cuda\"
requirements = [\"requirements.txt\", \"requirements-dev.txt\"]
ports = [5000, 8001]
command = [\"python\", \"train.py\"]

[image.env]
TF_FORCE_GPU_ALLOW_GROWTH = \"true\"

[image.user]
name = \"ml\"

[accelerator.cuda]
base_image = \"tensorflow/tensorflow:2.18.0-gpu\"

[run]
volume = \".:/app\"
env = [\"HF_TOKEN\"]
rm = true
shm-size = \"8g\"
```

## `[variant.NAME]`

Images of one project that differ in some settings, as for CPUs and for GPUs: each is a table like `[image]`, laid
over it.

```toml
default_variant = \"cpu\"            # before the first table; may be left out

[image]
tag = \"ghcr.io/me/cracks:v1\"
requirements = [\"requirements.txt\"]

[variant.cpu]
torch_backend = \"cpu\"

[variant.cuda]
gpu = \"cuda\"
packages = [\"flash-attn\"]
```

```sh
mlbuild image --variant cuda --push     # ghcr.io/me/cracks:v1-cuda
mlbuild image --push                    # ghcr.io/me/cracks:v1-cpu
mlbuild lock                            # pins both, with the same versions
```

- What the variant's table has wins over `[image]`, and flags win over both. Lists (`packages`, `apt`, `extras`,
  `groups`, `run`, `ports` …) and tables (`env`, `labels`, `user` …) add up; `requirements` and `tag` take the place of
  those of `[image]`. `template` takes the place of a `dockerfile`, and the other way round. `[build]`, `[run]` and the
  other tables are for all variants.
- `--variant NAME` is known to `image`, `lock`, `verify`, `up`, `dev`, `devcontainer` and `launch`. Without it the image
  is that of `default_variant`; where that isn't set, what `[image]` says by itself, which is then an image of its own
  beside the variants. A variant that isn't declared is an error. `mlbuild run`, `gui-run` and `submit` start images
  by their names.
- The name stands at the end of the image's tag, whether that comes from `-t`, from `tag` or from the folder's
  name: `v1` becomes `v1-cuda`, and `v1-cuda` stays. A variant with a `tag` of its own is called just so. Two variants
  that would have one name are refused. `NAME` is therefore of letters, digits, `_`, `.` and `-`.
- How variants are pinned together stands in [lock.md](lock.md#variants).
";

/// Each table of the file: its heading, and the definition it has in the schema.
const TABLES: [(&str, &str); 9] = [
    ("[image]", "ImageConfig"),
    ("[image.user]", "UserConfig"),
    ("[image.target]", "TargetSpec"),
    ("[image.serve]", "ServingSpec"),
    ("[[image.run]]", "RunTable"),
    (
        "[accelerator.cuda], [accelerator.rocm], [accelerator.cpu]",
        "AcceleratorConfig",
    ),
    ("[build]", "BuildConfig"),
    ("[registry]", "RegistryConfig"),
    ("[run]", "RunConfig"),
];

#[test]
fn the_page_is_what_the_schema_says() {
    let schema: Value = serde_json::from_str(&mlbuild::config::schema()).expect("JSON");
    let mut text = HEAD.to_owned();
    for (heading, name) in TABLES {
        let definition = &schema["$defs"][name];
        write!(
            text,
            "\n## `{heading}`\n\n| key | value | what it does |\n| --- | --- | --- |\n"
        )
        .expect("a string grows");
        for (key, property) in definition["properties"].as_object().expect(name) {
            let about = flat(property["description"].as_str().unwrap_or_default());
            assert!(!about.is_empty(), "{heading} {key} has no description");
            writeln!(text, "| `{key}` | {} | {about} |", kind(property, &schema))
                .expect("a string grows");
        }
    }
    let path = repository().join("docs/config.md");
    if std::env::var_os("MLBUILD_WRITE_DOCS").is_some() {
        std::fs::write(&path, &text).expect("docs/config.md can be written");
    }
    assert!(
        read(&path) == text,
        "docs/config.md is out of date: run MLBUILD_WRITE_DOCS=1 cargo test --test daemonless config_page"
    );
}

#[test]
fn every_table_of_the_schema_is_on_the_page() {
    let schema: Value = serde_json::from_str(&mlbuild::config::schema()).expect("JSON");
    for (name, definition) in schema["$defs"].as_object().expect("definitions") {
        let is_table = definition["properties"].is_object();
        assert!(
            !is_table || TABLES.iter().any(|(_, known)| known == name),
            "{name} is missing"
        );
    }
}

#[test]
fn the_examples_are_valid() {
    let examples = HEAD.split("```toml\n").skip(1);
    let examples: Vec<&str> = examples
        .filter_map(|rest| rest.split("```").next())
        .collect();
    assert_eq!(examples.len(), 2);
    let path = std::path::Path::new("mlbuild.toml");
    for example in examples {
        mlbuild::config::parse(example, path).expect("valid");
    }
}

fn flat(text: &str) -> String {
    text.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .replace('|', "\\|")
}

/// What a value looks like, in a few words.
fn kind(property: &Value, schema: &Value) -> String {
    if let Some(name) = property["$ref"]
        .as_str()
        .and_then(|r| r.strip_prefix("#/$defs/"))
    {
        if let Some((heading, _)) = TABLES.iter().find(|(_, known)| *known == name) {
            return format!("a table, `{heading}`");
        }
        return kind(&schema["$defs"][name], schema);
    }
    for list in ["anyOf", "oneOf"] {
        if let Some(kinds) = property[list].as_array() {
            let mut words: Vec<String> = kinds
                .iter()
                .filter(|k| k["type"] != "null")
                .map(|k| kind(k, schema))
                .collect();
            words.dedup();
            return words.join(" or ");
        }
    }
    if let Some(value) = property["const"].as_str() {
        return format!("`{value}`");
    }
    if let Some(values) = property["enum"].as_array() {
        let words: Vec<String> = values
            .iter()
            .filter_map(Value::as_str)
            .map(|v| format!("`{v}`"))
            .collect();
        return words.join(" or ");
    }
    let name = match &property["type"] {
        Value::Array(names) => names
            .iter()
            .filter_map(Value::as_str)
            .find(|n| *n != "null"),
        name => name.as_str(),
    };
    match name {
        Some("array") => format!("list: {}", kind(&property["items"], schema)),
        Some("object") if property["additionalProperties"]["type"] == "array" => {
            "table: name = list".into()
        }
        Some("object") => "table: name = value".into(),
        Some("integer" | "number") => "number".into(),
        Some("boolean") => "true or false".into(),
        Some("string") => "string".into(),
        _ => "any".into(),
    }
}
