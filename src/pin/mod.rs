//! Pins base images: rewrites `FROM name:tag` to `FROM name:tag@sha256:…` in a
//! Dockerfile's text, so that a build uses the locked digest even after the
//! tag has moved, on every BuildKit (source policies need 0.11).
//!
//! Line numbers stay as they are. `COPY --from=` and `RUN --mount=from=` are
//! pinned as well. Stage names, `scratch` and named contexts are left alone.

mod expand;
mod scan;

use std::collections::{BTreeMap, BTreeSet};

pub use expand::ExpandError;
use expand::{Variables, expand};
use scan::{Statement, Word, statements};

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
}

/// The images that a Dockerfile names, in the order of its text.
///
/// # Errors
/// Where an ARG in a `FROM` has no value, as BuildKit would say.
pub fn images(text: &str, context: &PinContext) -> Result<Vec<ImageUse>, ExpandError> {
    let mut variables = Variables::new(context);
    let mut stages: Vec<String> = Vec::new();
    let mut found = Vec::new();
    let mut in_stage = false;
    for statement in statements(text) {
        match statement.keyword.as_str() {
            "ARG" if !in_stage => variables.declare(&statement),
            "FROM" => {
                in_stage = true;
                let flags = statement
                    .words
                    .iter()
                    .take_while(|word| word.text.starts_with("--"));
                let Some(image) = statement.words.get(flags.clone().count()) else {
                    continue;
                };
                if let Some(reference) = expand(&image.text, &variables, statement.line)? {
                    push(
                        &mut found,
                        &stages,
                        context,
                        reference,
                        image,
                        statement.line,
                    );
                    let names_platform = flags
                        .clone()
                        .any(|flag| flag.text.starts_with("--platform="));
                    if let Some(image) = found.last_mut().filter(|last| last.start == image.start) {
                        image.is_base = !names_platform;
                    }
                }
                let words: Vec<_> = statement.words.iter().map(|w| w.text.as_str()).collect();
                let name = match words.as_slice() {
                    [.., keyword, name] if keyword.eq_ignore_ascii_case("as") => (*name).to_owned(),
                    _ => String::new(),
                };
                stages.push(name);
            }
            "COPY" => {
                for word in flag_values(&statement, "--from=") {
                    push_plain(&mut found, &stages, context, &word, statement.line);
                }
            }
            "RUN" => {
                for mount in flag_values(&statement, "--mount=") {
                    for field in comma_fields(&mount) {
                        if let Some(from) = field.text.strip_prefix("from=") {
                            let word = Word {
                                text: from.to_owned(),
                                start: field.start + "from=".len(),
                                end: field.end,
                            };
                            push_plain(&mut found, &stages, context, &word, statement.line);
                        }
                    }
                }
            }
            _ => {}
        }
    }
    Ok(found)
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
    let statements = statements(text);
    let last = statements
        .iter()
        .rfind(|statement| statement.keyword == "FROM")?;
    match last.words.as_slice() {
        [.., keyword, name] if keyword.text.eq_ignore_ascii_case("as") => {
            Some((text.to_owned(), name.text.clone()))
        }
        [.., image] => {
            let (before, after) = text.split_at(image.end);
            Some((format!("{before} AS {NAME}{after}"), NAME.to_owned()))
        }
        [] => None,
    }
}

/// True if a step runs a program of the target platform: one in a stage that isn't
/// held to another platform by `FROM --platform=`.
pub fn runs_on_target(text: &str) -> bool {
    let mut is_target = true;
    for statement in statements(text) {
        match statement.keyword.as_str() {
            "FROM" => is_target = flag_values(&statement, "--platform=").is_empty(),
            "RUN" if is_target => return true,
            _ => {}
        }
    }
    false
}

fn push_plain(
    found: &mut Vec<ImageUse>,
    stages: &[String],
    context: &PinContext,
    word: &Word,
    line: usize,
) {
    // Neither `COPY --from` nor a mount's `from` expands variables.
    let is_index = !word.text.is_empty() && word.text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_index && !word.text.contains('$') {
        push(found, stages, context, word.text.clone(), word, line);
    }
}

fn push(
    found: &mut Vec<ImageUse>,
    stages: &[String],
    context: &PinContext,
    reference: String,
    word: &Word,
    line: usize,
) {
    let is_stage = stages
        .iter()
        .any(|stage| !stage.is_empty() && stage.eq_ignore_ascii_case(&reference));
    let is_context = context.named_contexts.contains(reference.as_str());
    if !is_stage && !is_context && !reference.is_empty() && reference != "scratch" {
        found.push(ImageUse {
            reference,
            line,
            is_base: false,
            start: word.start,
            end: word.end,
        });
    }
}

/// The values of a flag in the leading flags of a statement.
fn flag_values(statement: &Statement, flag: &str) -> Vec<Word> {
    statement
        .words
        .iter()
        .take_while(|word| word.text.starts_with("--"))
        .filter_map(|word| {
            Some(Word {
                text: word.text.strip_prefix(flag)?.to_owned(),
                start: word.start + flag.len(),
                end: word.end,
            })
        })
        .collect()
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
