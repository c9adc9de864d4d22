//! Pins base images: rewrites `FROM name:tag` to `FROM name:tag@sha256:…` in a
//! Dockerfile's text, so that a build uses the locked digest even after the
//! tag has moved, on every BuildKit (source policies need 0.11).
//!
//! Line numbers stay as they are. `COPY --from=`, `RUN --mount=from=` and `# syntax=` are pinned as
//! well. Stage names, `scratch`, named contexts and stages that the target doesn't need are left alone.

mod check;
mod expand;
mod scan;
mod sources;
mod words;

use std::collections::{BTreeMap, BTreeSet};

pub use check::check;
pub use expand::ExpandError;
use expand::Variables;
pub use scan::Refusal;
use scan::{Statement, Word, scan};
pub use sources::{ContextSource, sources};

/// One place in a Dockerfile that names an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageUse {
    /// The reference, with ARGs filled in.
    pub reference: String,
    /// Line, from 1.
    pub line: usize,
    /// True if a stage runs on it, on the platform that is built: a `FROM` without `--platform`.
    pub is_base: bool,
    start: usize,
    end: usize,
}

/// What fills the variables of a Dockerfile, and what isn't an image.
#[derive(Debug, Clone, Default)]
pub struct PinContext<'a> {
    /// `--build-arg`s.
    pub build_args: BTreeMap<&'a str, &'a str>,
    /// Named contexts: they replace images of that name.
    pub named_contexts: BTreeSet<&'a str>,
    /// The one platform that is built, as `linux/amd64`; `None` where there are several.
    pub platform: Option<&'a str>,
    /// The stage that is built; the last one where absent.
    pub target: Option<&'a str>,
}

/// The images that a build of a Dockerfile needs, in the order of its text.
///
/// # Errors
/// Where BuildKit would refuse the file, or a `FROM` of it.
pub fn images(text: &str, context: &PinContext) -> Result<Vec<ImageUse>, ExpandError> {
    let scan = scan(text);
    check::checked(&scan)?;
    let mut variables = Variables::new(context, scan.escape);
    let mut finder = Finder {
        context,
        stages: Vec::new(),
        found: Vec::new(),
    };
    if let Some((image, line)) = &scan.syntax {
        finder.push(image.text.clone(), image, *line);
    }
    for statement in &scan.statements {
        match statement.keyword.as_str() {
            "ARG" if finder.stages.is_empty() => {
                let words = check::words(&statement.arguments, scan.escape);
                variables.declare(&words, statement.line)?;
            }
            "FROM" => finder.stage(statement, &variables)?,
            "COPY" => {
                for word in flag_values(statement, "--from=") {
                    finder.plain(&word, (statement.line, "copy"));
                }
            }
            "RUN" => finder.mounts(statement),
            _ => {}
        }
    }
    finder.needed()
}

/// A stage while it is read.
struct Stage {
    /// Its name in lower case; empty where it has none.
    name: String,
    /// Stages that it stands on or copies from.
    from: Vec<usize>,
    /// What it takes files of, as it is written, with the line and the verb.
    takes: Vec<(String, usize, &'static str)>,
}

struct Finder<'a> {
    context: &'a PinContext<'a>,
    stages: Vec<Stage>,
    /// Images, with the stage that each belongs to.
    found: Vec<(Option<usize>, ImageUse)>,
}

impl Finder<'_> {
    fn stage(&mut self, statement: &Statement, variables: &Variables) -> Result<(), ExpandError> {
        let Some(image) = statement.words.first() else {
            return Ok(());
        };
        let reference = variables.image(statement, &image.text)?;
        let name = match statement.words.as_slice() {
            [_, keyword, name] if keyword.text.eq_ignore_ascii_case("as") => {
                name.text.to_lowercase()
            }
            _ => String::new(),
        };
        // A stage can't stand on itself: its own name is an image's here.
        let before = self.stages.len();
        let on_stage = reference
            .as_deref()
            .and_then(|reference| self.by_name(reference));
        self.stages.push(Stage {
            name,
            from: on_stage.into_iter().collect(),
            takes: Vec::new(),
        });
        if let (Some(reference), None) = (reference, on_stage) {
            let at = self.found.len();
            self.push(reference, image, statement.line);
            let names_platform = !flag_values(statement, "--platform=").is_empty();
            if let Some((stage, image)) = self.found.get_mut(at) {
                *stage = Some(before);
                image.is_base = !names_platform;
            }
        }
        Ok(())
    }

    fn by_name(&self, name: &str) -> Option<usize> {
        let stages = self.stages.iter();
        stages
            .clone()
            .rposition(|stage| !stage.name.is_empty() && stage.name.eq_ignore_ascii_case(name))
    }

    fn mounts(&mut self, statement: &Statement) {
        for mount in flag_values(statement, "--mount=") {
            for field in comma_fields(&mount) {
                if let Some(from) = field.text.strip_prefix("from=") {
                    let word = Word {
                        text: from.to_owned(),
                        start: field.start + "from=".len(),
                        end: field.end,
                    };
                    self.plain(&word, (statement.line, "mount"));
                }
            }
        }
    }

    /// Neither `COPY --from` nor a mount's `from` expands variables.
    fn plain(&mut self, word: &Word, (line, verb): (usize, &'static str)) {
        if word.text.is_empty() || word.text.contains('$') {
            return;
        }
        if let Some(stage) = self.stages.last_mut() {
            stage.takes.push((word.text.clone(), line, verb));
        }
        let index = word
            .text
            .parse::<usize>()
            .ok()
            .filter(|index| *index < self.stages.len());
        let stage = self.by_name(&word.text).or(index);
        let is_number = word.text.bytes().all(|byte| byte.is_ascii_digit());
        match (stage, self.stages.last_mut()) {
            (Some(stage), Some(last)) => last.from.push(stage),
            (None, _) if !is_number => self.push(word.text.clone(), word, line),
            _ => {}
        }
    }

    fn push(&mut self, reference: String, word: &Word, line: usize) {
        let is_context = self.context.named_contexts.contains(reference.as_str());
        if is_context || reference.is_empty() || reference == "scratch" {
            return;
        }
        let image = ImageUse {
            reference,
            line,
            is_base: false,
            start: word.start,
            end: word.end,
        };
        self.found.push((self.stages.len().checked_sub(1), image));
    }

    /// Those of the stages that the target needs; all where it isn't among them.
    fn needed(self) -> Result<Vec<ImageUse>, ExpandError> {
        let target = match self.context.target {
            None => self.stages.len().checked_sub(1),
            Some(target) => self.by_name(target).or_else(|| {
                target
                    .parse()
                    .ok()
                    .filter(|index| *index < self.stages.len())
            }),
        };
        let mut needed = BTreeSet::new();
        let mut open: Vec<usize> = target.into_iter().collect();
        while let Some(stage) = open.pop() {
            if needed.insert(stage) {
                open.extend(&self.stages[stage].from);
            }
        }
        needed.iter().try_for_each(|stage| self.in_order(*stage))?;
        let is_needed = |stage: &Option<usize>| {
            target.is_none() || stage.is_none_or(|stage| needed.contains(&stage))
        };
        let found = self.found.into_iter();
        let found = found.filter(|(stage, _)| is_needed(stage));
        Ok(found.map(|(_, image)| image).collect())
    }

    /// Refuses files of a stage that isn't there yet, as BuildKit does: of several stages of a name it means the last.
    fn in_order(&self, at: usize) -> Result<(), ExpandError> {
        let number = |name: &str| name.parse().ok().filter(|of| *of < self.stages.len());
        let stage = &self.stages[at];
        for (name, line, verb) in &stage.takes {
            let is_context = self.context.named_contexts.contains(name.as_str());
            let of = self.by_name(name).or_else(|| number(name));
            let is_lost = *verb == "copy" && name.bytes().all(|byte| byte.is_ascii_digit());
            if is_context || of.is_some_and(|of| of < at) || of.is_none() && !is_lost {
                continue;
            }
            let current = match stage.name.as_str() {
                "" => at.to_string(),
                name => name.to_owned(),
            };
            let reason = match of {
                None => format!("invalid stage index {name}"),
                Some(of) if of == at => format!("circular dependency detected on stage: {current}"),
                Some(_) => format!(
                    "cannot {verb} from stage {name:?}, it needs to be defined before current stage {current:?}"
                ),
            };
            return Err(Refusal {
                line: *line,
                reason,
            }
            .into());
        }
        Ok(())
    }
}

/// The text with each image that `written` knows replaced by what it says: the image with its digest.
///
/// An image that already has a digest is left as written.
pub fn pin(text: &str, uses: &[ImageUse], written: impl Fn(&str) -> Option<String>) -> String {
    let mut pinned = String::with_capacity(text.len() + 80 * uses.len());
    let mut done = 0;
    for image in uses {
        if image.reference.contains('@') {
            continue;
        }
        if let Some(written) = written(&image.reference) {
            pinned.push_str(&text[done..image.start]);
            pinned.push_str(&written);
            done = image.end;
        }
    }
    pinned.push_str(&text[done..]);
    pinned
}

/// The text with its last stage named, and that name.
pub fn name_last_stage(text: &str) -> Option<(String, String)> {
    const NAME: &str = "mlbuild-last-stage";
    let statements = scan(text).statements;
    let last = statements
        .iter()
        .rfind(|statement| statement.keyword == "FROM")?;
    match last.words.as_slice() {
        [_, keyword, name] if keyword.text.eq_ignore_ascii_case("as") => {
            Some((text.to_owned(), name.text.clone()))
        }
        [.., image] => {
            let (before, after) = text.split_at(image.end);
            Some((format!("{before} AS {NAME}{after}"), NAME.to_owned()))
        }
        [] => None,
    }
}

/// Whether a RUN stands below a COPY or ADD, in whichever stage: it may run on what was copied.
pub fn runs_after_copies(text: &str) -> bool {
    let statements = scan(text).statements;
    let mut keywords = statements
        .iter()
        .map(|statement| statement.keyword.as_str());
    keywords.any(|word| matches!(word, "COPY" | "ADD")) && keywords.any(|word| word == "RUN")
}

/// True if a step runs a program of the target platform: one in a stage that isn't
/// held to another platform by `FROM --platform=`.
pub fn runs_on_target(text: &str) -> bool {
    let mut is_target = true;
    for statement in scan(text).statements {
        match statement.keyword.as_str() {
            "FROM" => is_target = flag_values(&statement, "--platform=").is_empty(),
            "RUN" if is_target => return true,
            _ => {}
        }
    }
    false
}

/// The values of a flag of a statement.
fn flag_values(statement: &Statement, flag: &str) -> Vec<Word> {
    let values = statement.flags.iter().filter_map(|word| {
        let value = word.text.strip_prefix(flag)?;
        Some(Word {
            text: value.to_owned(),
            start: word.end - value.len(),
            end: word.end,
        })
    });
    values.collect()
}

fn comma_fields(word: &Word) -> Vec<Word> {
    let mut start = word.start;
    word.text
        .split(',')
        .map(|field| {
            let this = Word {
                text: field.to_owned(),
                start,
                end: start + field.len(),
            };
            start = this.end + 1;
            this
        })
        .collect()
}

#[cfg(test)]
mod tests;
