//! Requirements that stand as plain strings in a `setup.py` whose code puts its dependencies together. They are
//! never installed from here; they tell which framework the project is made for.

use std::path::Path;

use super::{ImagePython, Wanted, manifests, parse_one};
use crate::tables::framework_brought_by;

/// Most strings that are looked at.
const MOST: usize = 2000;

/// The frameworks that the strings of a script ask for, each once, with its place; none where they ask for
/// several kinds of them, since then nobody can tell which of them is meant.
pub(crate) fn frameworks_in(project: &Path, file: &str, image: &ImagePython) -> Vec<Wanted> {
    let text = manifests::text_of(project, file).unwrap_or_default();
    let mut found: Vec<Wanted> = Vec::new();
    for (line, string) in strings(&text).into_iter().take(MOST) {
        let wanted = parse_one(&string, &format!("{file}:{line}"), image);
        let Ok(Some(wanted)) = wanted else { continue };
        let is_known = found.iter().any(|known| known.name == wanted.name);
        if family(&wanted.name).is_some() && !is_known {
            found.push(wanted);
        }
    }
    let families = found.iter().filter_map(|wanted| family(&wanted.name));
    let mut families: Vec<&str> = families.collect();
    families.sort_unstable();
    families.dedup();
    match families.len() {
        1 => found,
        _ => Vec::new(),
    }
}

/// The framework that a package is or brings.
fn family(name: &str) -> Option<&'static str> {
    match name {
        "torch" => Some("torch"),
        "tensorflow" | "tensorflow-cpu" | "tensorflow-gpu" => Some("tensorflow"),
        "jax" | "jaxlib" => Some("jax"),
        _ if name.starts_with("paddlepaddle") => Some("paddle"),
        _ => framework_brought_by(name),
    }
}

/// The string literals of one line that are items: they have a version, or a comma or the line's end behind them.
/// Each with its line, from 1.
fn strings(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let mut rest = line;
        while let Some(at) = rest.find(['"', '\'', '#']) {
            let quote = rest.as_bytes()[at] as char;
            if quote == '#' {
                break;
            }
            let Some((inside, after)) = rest[at + 1..].split_once(quote) else {
                break;
            };
            let next = after.trim_start().chars().next();
            let is_item = next.is_none_or(|next| next == ',' || next == '#');
            let has_version = inside.contains(['=', '<', '>', '~']);
            if !inside.is_empty() && (is_item || has_version) {
                found.push((number + 1, inside.to_owned()));
            }
            rest = after;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frameworks_that_stand_as_text() {
        for (text, names) in [
            (
                "_deps = [\n    \"accelerate>=1.2\",\n    \"torch>=2.5.1\",\n]\n",
                "accelerate torch",
            ),
            ("base=[\"numpy\",\"torch==2.0.1\"]\n", "torch"),
            (
                "base = [\n    'numpy',\n    'paddlepaddle-gpu'\n]\n",
                "paddlepaddle-gpu",
            ),
            ("tf = [\"tensorflow==2.15.0\"]\n", "tensorflow"),
            // Several: nobody can tell.
            ("a = [\"torch>=1\", \"tensorflow>=2\"]\n", ""),
            // Keys, names of extras, comments, messages.
            ("extras[\"torch\"] = deps_list()\n", ""),
            ("d = {\"torch\": x}\n", ""),
            ("# \"torch==1\",\n", ""),
            ("print(\"install torch>=1 first\")\n", ""),
            ("setup(name='torch_thing', version='1')\n", ""),
            ("a = [\"torch==1; sys_platform == 'win32'\"]\n", ""),
        ] {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("setup.py"), text).unwrap();
            let found = frameworks_in(folder.path(), "setup.py", &ImagePython::default());
            let found: Vec<&str> = found.iter().map(|wanted| wanted.name.as_str()).collect();
            assert_eq!(found.join(" "), names, "{text}");
        }
    }
}
