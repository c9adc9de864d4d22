//! Stages of a Dockerfile, and which of them waits for which.

use std::collections::HashMap;

use parse_dockerfile::{CopyInstruction, FromInstruction, Instruction, RunInstruction};

/// Instructions that are followed at most once it is known that stages wait for one another.
const MOST: usize = 1000;

/// The names of all stages, in lower case; empty where one has none.
pub(super) fn names(text: &str, instructions: &[Instruction]) -> Vec<String> {
    let stages = instructions
        .iter()
        .filter_map(|instruction| match instruction {
            Instruction::From(from) => Some(name(text, from)),
            _ => None,
        });
    stages.collect()
}

/// The name that a FROM gives its stage in a text, in lower case.
pub(super) fn name(text: &str, from: &FromInstruction) -> String {
    let name = from.as_.as_ref().map(|(_, name)| {
        // The parser may have been given another one.
        let written = text.get(name.span.start..name.span.end);
        written.unwrap_or(&name.value).to_lowercase()
    });
    name.unwrap_or_default()
}

/// The stages or images that a RUN mounts files of.
pub(super) fn mounted(run: &RunInstruction) -> Vec<String> {
    let mounts = run.options.iter().filter(|flag| flag.name.value == "mount");
    let values = mounts.filter_map(|mount| mount.value.as_ref());
    let parts = values.flat_map(|value| value.value.split(',').collect::<Vec<_>>());
    let from = parts.filter_map(|part| part.trim().strip_prefix("from=").map(str::to_owned));
    from.collect()
}

/// What no builder does, or does otherwise than a reader thinks, about the names of stages.
pub(super) struct Misnamed {
    /// Byte of the instruction.
    pub offset: usize,
    /// The name, or number, of the stage.
    pub name: String,
    /// Byte of the other stage's FROM.
    pub other: usize,
}

/// Where each stage begins.
fn begins(instructions: &[Instruction]) -> Vec<usize> {
    let stages = instructions
        .iter()
        .filter_map(|instruction| match instruction {
            Instruction::From(from) => Some(from.from.span.start),
            _ => None,
        });
    stages.collect()
}

/// Stages that are called as one above them.
pub(super) fn duplicates(text: &str, instructions: &[Instruction]) -> Vec<Misnamed> {
    let begins = begins(instructions);
    let mut first: HashMap<String, usize> = HashMap::new();
    let mut found = Vec::new();
    let names = names(text, instructions).into_iter().zip(&begins);
    for (name, offset) in names.filter(|(name, _)| !name.is_empty()) {
        match first.get(&name) {
            Some(other) => found.push(Misnamed {
                offset: *offset,
                name,
                other: *other,
            }),
            None => drop(first.insert(name, *offset)),
        }
    }
    found
}

/// Files that are taken of a stage that comes later: of two stages of a name, the last is meant.
pub(super) fn too_early(text: &str, instructions: &[Instruction]) -> Vec<Misnamed> {
    let (begins, names) = (begins(instructions), names(text, instructions));
    // The last of each name.
    let by_name: HashMap<&str, usize> = names
        .iter()
        .enumerate()
        .filter(|(_, name)| !name.is_empty())
        .map(|(at, name)| (name.as_str(), at))
        .collect();
    let mut found = Vec::new();
    let mut stage: Option<usize> = None;
    for instruction in instructions {
        let (offset, from) = match instruction {
            Instruction::From(_) => {
                stage = Some(stage.map_or(0, |stage| stage + 1));
                continue;
            }
            Instruction::Copy(copy) => (copy.copy.span.start, copied(copy)),
            Instruction::Run(run) => (run.run.span.start, mounted(run)),
            _ => continue,
        };
        let Some(at) = stage else { continue };
        for name in from {
            let named = by_name.get(name.to_lowercase().as_str()).copied();
            let by_number = || name.parse().ok().filter(|number| *number < names.len());
            let of = named.or_else(by_number);
            if let Some(of) = of.filter(|of| *of > at) {
                let other = begins[of];
                found.push(Misnamed {
                    offset,
                    name,
                    other,
                });
            }
        }
    }
    found
}

/// The stages or images that a COPY takes files of.
fn copied(copy: &CopyInstruction) -> Vec<String> {
    let flags = copy.options.iter().filter(|flag| flag.name.value == "from");
    let values = flags.filter_map(|flag| flag.value.as_ref());
    values.map(|value| value.value.to_string()).collect()
}

/// A stage that takes files of one that waits for it: where, and the name of that one.
pub(super) fn cycle(text: &str, instructions: &[Instruction]) -> Option<(usize, String)> {
    let names = names(text, instructions);
    let by_name: HashMap<&str, usize> = names
        .iter()
        .enumerate()
        .filter(|(_, name)| !name.is_empty())
        .map(|(at, name)| (name.as_str(), at))
        .collect();
    // A base is a stage above it, files may be of any stage.
    let mut waits: Vec<Vec<usize>> = vec![Vec::new(); names.len()];
    let mut files: Vec<(usize, usize, usize)> = Vec::new();
    let mut above: HashMap<&str, usize> = HashMap::new();
    let mut stage: Option<usize> = None;
    for instruction in instructions {
        let (offset, from) = match instruction {
            Instruction::From(from) => {
                let at = stage.map_or(0, |stage| stage + 1);
                let base = from.image.value.to_lowercase();
                waits.get_mut(at)?.extend(above.get(base.as_str()));
                above.insert(names.get(at)?, at);
                stage = Some(at);
                continue;
            }
            Instruction::Copy(copy) => (copy.copy.span.start, copied(copy)),
            Instruction::Run(run) => (run.run.span.start, mounted(run)),
            _ => continue,
        };
        let Some(at) = stage else { continue };
        for name in from {
            let by_number = || name.parse().ok().filter(|number| *number < names.len());
            let of = by_name
                .get(name.to_lowercase().as_str())
                .copied()
                .or_else(by_number);
            if let Some(of) = of {
                waits.get_mut(at)?.push(of);
                files.push((offset, at, of));
            }
        }
    }
    let in_cycle = left_over(&waits);
    let mut open = files
        .iter()
        .filter(|(_, at, of)| in_cycle[*at] && in_cycle[*of])
        .take(MOST);
    let found = open.find(|(_, at, of)| reaches(&waits, *of, *at));
    found.map(|(offset, _, of)| {
        let name = &names[*of];
        (
            *offset,
            if name.is_empty() {
                of.to_string()
            } else {
                name.clone()
            },
        )
    })
}

/// The stages that are never ready, if each is built once what it waits for is.
fn left_over(waits: &[Vec<usize>]) -> Vec<bool> {
    let mut missing: Vec<usize> = waits.iter().map(Vec::len).collect();
    let mut users: Vec<Vec<usize>> = vec![Vec::new(); waits.len()];
    for (at, of) in waits.iter().enumerate() {
        of.iter().for_each(|of| users[*of].push(at));
    }
    let mut ready: Vec<usize> = (0..waits.len()).filter(|at| missing[*at] == 0).collect();
    let mut is_left = vec![true; waits.len()];
    while let Some(at) = ready.pop() {
        is_left[at] = false;
        for user in &users[at] {
            missing[*user] -= 1;
            if missing[*user] == 0 {
                ready.push(*user);
            }
        }
    }
    is_left
}

fn reaches(waits: &[Vec<usize>], from: usize, to: usize) -> bool {
    let mut seen = vec![false; waits.len()];
    let mut open = vec![from];
    while let Some(at) = open.pop() {
        if at == to {
            return true;
        }
        if !std::mem::replace(&mut seen[at], true) {
            open.extend(&waits[at]);
        }
    }
    false
}
