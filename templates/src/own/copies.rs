//! What a Dockerfile copies from its build's context, and which of that isn't there.

use std::collections::BTreeSet;

use parse_dockerfile::{Dockerfile, Flag, Instruction, Source};

use super::parse::{distinct, line_of, parse};
use super::stages::name;

/// A file or folder that a Dockerfile takes from the context of its build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FromContext {
    /// The line of the instruction, from 1.
    pub line: usize,
    /// Its path from the context's root, without `./`; never empty.
    pub path: String,
}

/// What the stages that a build needs take from the context by a plain path: sources of COPY and ADD, and of
/// `RUN --mount=type=bind`. Patterns, variables and addresses are left out, since what they stand for is known
/// to the builder alone. The build makes the stage that `target` names, or the last one. Empty for a text that
/// isn't a Dockerfile.
pub fn taken_from_context(text: &str, target: Option<&str>) -> Vec<FromContext> {
    let distinct = distinct(text);
    let Ok(parsed) = parse(&distinct) else {
        return Vec::new();
    };
    let needed = needed_stages(text, &parsed, target);
    let mut stage = None;
    let mut found = Vec::new();
    for instruction in &parsed.instructions {
        let (offset, paths) = match instruction {
            Instruction::From(_) => {
                stage = Some(stage.map_or(0, |stage| stage + 1));
                continue;
            }
            Instruction::Copy(copy) if flag(&copy.options, "from").is_none() => {
                (copy.copy.span.start, plain(&copy.src))
            }
            Instruction::Add(add) => (add.add.span.start, plain(&add.src)),
            Instruction::Run(run) => (run.run.span.start, mounted(&run.options)),
            _ => continue,
        };
        if !stage.is_some_and(|stage| needed.contains(&stage)) {
            continue;
        }
        let line = line_of(text, offset);
        let paths = paths.iter().filter_map(|path| inside(path));
        found.extend(paths.map(|path| FromContext { line, path }));
    }
    found
}

/// The value of a flag.
fn flag<'a>(flags: &'a [Flag<'_>], name: &str) -> Option<&'a str> {
    let found = flags.iter().find(|flag| flag.name.value == name)?;
    Some(found.value.as_ref()?.value.as_ref())
}

fn plain(sources: &[Source<'_>]) -> Vec<String> {
    let paths = sources.iter().filter_map(|source| match source {
        Source::Path(path) => Some(path.value.to_string()),
        Source::HereDoc(_) => None,
        _ => None,
    });
    // The form of a JSON list, which the parser leaves as it is, is told by its bracket.
    let paths: Vec<String> = paths.collect();
    if paths.first().is_some_and(|path| path.starts_with('[')) {
        return paths
            .iter()
            .map(|path| path.trim_matches(['[', ']', '"', ',']).to_owned())
            .collect();
    }
    paths
}

/// Sources of the context that a RUN mounts.
fn mounted(flags: &[Flag<'_>]) -> Vec<String> {
    let mounts = flags.iter().filter(|flag| flag.name.value == "mount");
    let sources = mounts.filter_map(|mount| {
        let value = mount.value.as_ref()?.value.as_ref();
        let part = |key: &str| {
            let mut parts = value.split(',').filter_map(|part| part.split_once('='));
            parts.find(|(name, _)| *name == key).map(|(_, value)| value)
        };
        let is_bind = part("type").is_none_or(|kind| kind == "bind");
        let source = part("source").or_else(|| part("src"))?;
        (is_bind && part("from").is_none()).then(|| source.to_owned())
    });
    sources.collect()
}

/// A path of the context; `None` for all of it, and for what isn't a plain path.
fn inside(path: &str) -> Option<String> {
    let is_address = path.contains("://") || path.starts_with("git@");
    if is_address || path.contains(['$', '*', '?', '[', '\\']) {
        return None;
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            // The context's root is above itself.
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

/// The stages, by their numbers, that the build of one needs.
fn needed_stages(text: &str, parsed: &Dockerfile<'_>, target: Option<&str>) -> BTreeSet<usize> {
    // Names of the stages, what each stands on, and what it takes files from.
    let mut names: Vec<String> = Vec::new();
    let mut bases: Vec<String> = Vec::new();
    let mut uses: Vec<Vec<String>> = Vec::new();
    for instruction in &parsed.instructions {
        match instruction {
            Instruction::From(from) => {
                names.push(name(text, from));
                bases.push(from.image.value.to_lowercase());
                uses.push(Vec::new());
            }
            Instruction::Copy(copy) => {
                let from = flag(&copy.options, "from").map(str::to_lowercase);
                uses.last_mut()
                    .into_iter()
                    .for_each(|uses| uses.extend(from.clone()));
            }
            Instruction::Run(run) => {
                let mounts = run.options.iter().filter_map(|flag| flag.value.as_ref());
                let from = mounts.flat_map(|mount| {
                    mount
                        .value
                        .split(',')
                        .map(str::to_lowercase)
                        .collect::<Vec<_>>()
                });
                let from = from.filter_map(|part| Some(part.strip_prefix("from=")?.to_owned()));
                let from: Vec<String> = from.collect();
                uses.last_mut()
                    .into_iter()
                    .for_each(|uses| uses.extend(from.clone()));
            }
            _ => {}
        }
    }
    let find = |name: &str, before: usize| {
        let by_name = names[..before]
            .iter()
            .rposition(|known| !name.is_empty() && known == name);
        by_name.or_else(|| name.parse().ok().filter(|number| *number < before))
    };
    let wanted = target.and_then(|target| find(&target.to_lowercase(), names.len()));
    let mut open: Vec<usize> = wanted.or(names.len().checked_sub(1)).into_iter().collect();
    let mut needed = BTreeSet::new();
    while let Some(stage) = open.pop() {
        if needed.insert(stage) {
            open.extend(find(&bases[stage], stage));
            // Files come of the last stage of a name, which has to come before: no builder takes a later one.
            let taken = uses[stage].iter();
            let taken = taken.filter_map(|name| find(name, names.len()));
            open.extend(taken.filter(|of| *of < stage));
        }
    }
    needed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(usize, String)> {
        let found = taken_from_context(text, None).into_iter();
        found.map(|one| (one.line, one.path)).collect()
    }

    #[test]
    fn plain_paths_of_the_context_are_found() {
        for (text, paths) in [
            (
                "FROM a:1\nCOPY a.txt ./b/c /x/\n",
                &[(2, "a.txt"), (2, "b/c")][..],
            ),
            ("FROM a:1\nCOPY [\"a b.txt\", \"/x/\"]\n", &[(2, "a b.txt")]),
            (
                "FROM a:1\nADD --chown=1 /a.tar.gz /x/\n",
                &[(2, "a.tar.gz")],
            ),
            ("FROM a:1\nCOPY ../up.txt /x/\n", &[(2, "up.txt")]),
            (
                "FROM a:1\nRUN --mount=type=bind,source=uv.lock,target=uv.lock uv sync\n",
                &[(2, "uv.lock")],
            ),
            (
                "FROM a:1 AS b\nCOPY x /\nFROM a:1\nCOPY --from=b /x /x\n",
                &[(2, "x")],
            ),
            ("FROM a:1 AS b\nCOPY x /\nFROM b\n", &[(2, "x")]),
            // Of two stages of a name files come of the last, and a base is the last one so far.
            (
                "FROM a:1 AS b\nCOPY x /\nFROM a:1 AS b\nCOPY y /\nFROM a:1\nCOPY --from=b /y /y\n",
                &[(4, "y")],
            ),
            (
                "FROM a:1 AS b\nCOPY x /\nFROM b AS c\nFROM a:1 AS b\nCOPY y /\nFROM c\n",
                &[(2, "x")],
            ),
            // No part of the context, or of a stage that isn't built, or not known here.
            ("FROM a:1 AS b\nCOPY x /\nFROM a:1\n", &[]),
            (
                "FROM a:1\nCOPY . /x\nCOPY ./ /y\nCOPY *.txt f?.py $A ${B}/c /x/\n",
                &[],
            ),
            ("FROM a:1\nADD https://h/x.tar.gz git@h:x.git /x/\n", &[]),
            ("FROM a:1\nCOPY --from=r.io/x:1 /bin/x /bin/x\n", &[]),
            ("FROM a:1\nCOPY <<EOF /x\na b\nEOF\n", &[]),
            (
                "FROM a:1\nRUN --mount=type=cache,target=/c --mount=from=b:1,source=/u,target=/u x\n",
                &[],
            ),
            ("not one\n", &[]),
        ] {
            let paths: Vec<(usize, String)> = paths
                .iter()
                .map(|(line, path)| (*line, (*path).to_owned()))
                .collect();
            assert_eq!(found(text), paths, "{text}");
        }
        let text = "FROM a:1 AS b\nCOPY x /\nFROM a:1\nCOPY y /\n";
        let of_target = taken_from_context(text, Some("B"));
        assert_eq!(of_target.len(), 1);
        assert_eq!(of_target[0].path, "x");
    }
}
