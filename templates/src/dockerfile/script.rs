//! The shell side of RUN: lines of POSIX sh, and quoting for what goes into them.

/// Lines of POSIX shell that one RUN executes as a single command line.
///
/// Docker joins the lines with nothing but a space's worth of continuation, so each line ends as
/// a shell would need it to on one line (`;`, `&&`, `then`). A line that begins with `#` is a
/// comment: Docker drops it before the shell sees anything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Script(pub(super) Vec<String>);

impl Script {
    /// A script that stops at the first failing command or unset variable.
    pub fn strict() -> Self {
        Self(vec!["set -eu;".into()])
    }

    /// A command of somebody else, for `/bin/sh -c` as it is. Docker reads some texts in another way
    /// than a shell, such as here-documents and line ends: those are written as a list of words.
    pub fn command(text: &str) -> Self {
        Self::default().then_command(text)
    }

    /// These lines, then a command of somebody else.
    #[must_use]
    pub fn then_command(mut self, text: &str) -> Self {
        let is_plain = !text.contains(['\n', '\r', '\\'])
            && !text.contains("<<")
            && !text.trim_start().starts_with(['#', '[', '-']);
        if is_plain {
            self.0.push(text.trim().to_owned());
            return self;
        }
        let text = match self.0.join("\n") {
            before if before.is_empty() => text.to_owned(),
            before => format!("{before}\n{text}"),
        };
        let words = ["/bin/sh", "-c", text.as_str()];
        Self(vec![serde_json::to_string(&words).expect("texts are JSON")])
    }

    /// Appends lines, one per line of the text; blank lines are left out.
    pub fn lines(&mut self, text: &str) -> &mut Self {
        let lines = text.lines().map(str::trim_end);
        self.0
            .extend(lines.filter(|l| !l.trim().is_empty()).map(str::to_owned));
        self
    }

    /// Removes the `;` after the last command.
    #[must_use]
    pub fn finish(mut self) -> Self {
        if let Some(last) = self.0.iter_mut().rev().find(|line| !is_comment(line))
            && last.ends_with(';')
            && !last.ends_with(";;")
        {
            last.pop();
        }
        self
    }
}

pub(super) fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

/// Quotes text so that a POSIX shell reads it back as one word.
pub fn shell_quote(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@+,%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// One word of a line of a [`Script`], quoted. A line break in it becomes a blank: Docker would take what
/// follows it for a line of its own, and drop it with its quote where it begins with `#`. Requirements
/// mean the same with either.
pub(crate) fn script_word(text: &str) -> String {
    let parts: Vec<&str> = text.split('\n').filter(|part| !part.is_empty()).collect();
    shell_quote(&parts.join(" "))
}

/// As [`script_word`], for a relative file that a program must not read as an option.
pub(crate) fn script_operand(file: &str) -> String {
    if file.starts_with('-') {
        script_word(&format!("./{file}"))
    } else {
        script_word(file)
    }
}

/// As [`script_word`], where the shell is to fill in `*` and `?`, and nothing else.
pub(crate) fn script_pattern(pattern: &str) -> String {
    let parts = pattern.split_inclusive(['*', '?']).map(|part| {
        let literal = part.trim_end_matches(['*', '?']);
        let quoted = if literal.is_empty() {
            String::new()
        } else {
            script_word(literal)
        };
        quoted + &part[literal.len()..]
    });
    parts.collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn commands_are_given_to_a_shell_as_they_are() {
        let text = |command: &str| Script::command(command).0.concat();
        assert_eq!(text("make && echo $HOME "), "make && echo $HOME");
        for odd in ["cat <<E\na\nE", "a \\\n b", "# x", "[ -d / ]", "--version"] {
            let words: Vec<String> = serde_json::from_str(&text(odd)).unwrap();
            assert_eq!(words, ["/bin/sh", "-c", odd]);
        }
    }

    #[test]
    fn lines_before_a_command_are_given_to_the_same_shell() {
        let after = |command: &str| {
            let mut script = Script::default();
            script.lines("export A=1;");
            script.then_command(command).0
        };
        assert_eq!(after("make"), ["export A=1;", "make"]);
        let words: Vec<String> = serde_json::from_str(&after("cat <<E\na\nE")[0]).unwrap();
        assert_eq!(words[2], "export A=1;\ncat <<E\na\nE");
    }

    #[test]
    fn the_last_command_has_no_semicolon() {
        let mut script = Script::strict();
        script.lines("echo a;\n\n# why\n");
        assert_eq!(script.finish().0, ["set -eu;", "echo a", "# why"]);
    }

    #[test]
    fn a_word_stays_a_word_of_its_line() {
        for (text, word) in [
            ("six", "six"),
            ("a\n# b", "'a # b'"),
            ("a>=1\n", "'a>=1'"),
            ("\n", "''"),
            ("it's\n\n#", r"'it'\''s #'"),
        ] {
            assert_eq!(script_word(text), word, "{text:?}");
        }
        assert_eq!(script_operand("-i.txt"), "./-i.txt");
        assert_eq!(script_operand("a/-i.txt"), "a/-i.txt");
    }

    #[test]
    fn only_stars_and_question_marks_of_a_pattern_are_the_shells() {
        for (pattern, words) in [
            ("/opt/requirements*.txt", "/opt/requirements*.txt"),
            ("/opt/$(id);x?*.txt", "'/opt/$(id);x'?*.txt"),
            ("a b*", "'a b'*"),
            ("*", "*"),
        ] {
            assert_eq!(script_pattern(pattern), words, "{pattern}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_shell_reads_quoted_text_back(text in "[^\\x00]{0,20}") {
            let out = std::process::Command::new("sh")
                .arg("-c")
                .arg(format!("printf %s {}", shell_quote(&text)))
                .output()
                .unwrap();
            prop_assert_eq!(out.stdout, text.as_bytes());
        }
    }
}
