//! Which paths of the build context the steps of a Dockerfile read.

use super::scan::{Statement, Word, scan};

/// A path of the context that a step reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextSource {
    /// From the context's root, without a leading slash; empty for all of it. `None` where
    /// variables or wildcards decide.
    pub path: Option<String>,
    /// Line, from 1.
    pub line: usize,
}

/// The sources of COPY, ADD and bind mounts that are of the main context, in order.
pub fn sources(text: &str) -> Vec<ContextSource> {
    let mut found = Vec::new();
    for statement in &scan(text).statements {
        match statement.keyword.as_str() {
            "COPY" | "ADD" => copied(statement, &mut found),
            "RUN" => mounted(statement, &mut found),
            _ => {}
        }
    }
    found
}

fn copied(statement: &Statement, found: &mut Vec<ContextSource>) {
    let is_elsewhere = |flag: &Word| flag.text.starts_with("--from=");
    if statement.flags.iter().any(is_elsewhere) {
        return;
    }
    let words: Vec<String> = match serde_json::from_str(&statement.arguments) {
        Ok(list) => list,
        Err(_) => statement.words.iter().map(|w| w.text.clone()).collect(),
    };
    let Some((_, sources)) = words.split_last() else {
        return;
    };
    for source in sources {
        let is_remote = source.contains("://") || source.starts_with("git@");
        let is_fetched = statement.keyword == "ADD" && is_remote;
        if !source.starts_with("<<") && !is_fetched {
            found.push(source_of(source, statement.line));
        }
    }
}

fn mounted(statement: &Statement, found: &mut Vec<ContextSource>) {
    let mounts = statement.flags.iter();
    for mount in mounts.filter_map(|flag| flag.text.strip_prefix("--mount=")) {
        let fields = mount.split(',').map(|field| {
            let (key, value) = field.split_once('=').unwrap_or((field, ""));
            (key.trim().to_ascii_lowercase(), value)
        });
        let fields: Vec<(String, &str)> = fields.collect();
        let value = |names: &[&str]| {
            let found = fields.iter().find(|(key, _)| names.contains(&&**key));
            found.map(|(_, value)| *value)
        };
        let is_bind = value(&["type"]).is_none_or(|kind| kind == "bind");
        if is_bind && value(&["from"]).is_none() {
            let source = value(&["source", "src"]).unwrap_or_default();
            found.push(source_of(source, statement.line));
        }
    }
}

fn source_of(word: &str, line: usize) -> ContextSource {
    let is_plain = !word.contains(['$', '*', '?', '[', '\\', '"', '\'']);
    // BuildKit cleans the path as one from the root: `../x` is `x`.
    let mut parts: Vec<&str> = Vec::new();
    for part in word.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    ContextSource {
        path: is_plain.then(|| parts.join("/")),
        line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steps_read_of_the_context() {
        let text = r#"FROM a AS b
COPY --chown=1:1 ./src/ /x/../y.txt /app/
COPY --from=b z /z
COPY ["with space", "/app"]
ADD https://x.example/a.tar /a
COPY *.txt ${A}/b /c/
COPY <<EOF /d
text
EOF
RUN --mount=type=cache,target=/c --mount=type=bind,source=lib,target=/l true
RUN --mount=target=/all true
RUN --mount=type=bind,from=b,source=x,target=/x true
COPY . .
"#;
        let found: Vec<String> = sources(text)
            .iter()
            .map(|s| format!("{} {}", s.line, s.path.as_deref().unwrap_or("?")))
            .collect();
        assert_eq!(
            found,
            [
                "2 src",
                "2 y.txt",
                "4 with space",
                "6 ?",
                "6 ?",
                "10 lib",
                "11 ",
                "13 ",
            ]
        );
    }
}
