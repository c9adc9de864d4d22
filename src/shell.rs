//! Words as a shell reads them back: every command that mlbuild prints is quoted here, since its
//! words may be those of strangers.

use std::fmt::Write as _;

use mlbuild_progress::printable::is_unseen;

/// The words as one line that a shell takes. A word of plain characters stands as it is, also with
/// an equals sign in it, which means something to a shell in the first word only.
pub fn line<W: AsRef<str>>(words: &[W]) -> String {
    words.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// One word, quoted where it has to be.
///
/// ```
/// use mlbuild::shell::word;
/// assert_eq!(word("r.example/a:1"), "r.example/a:1");
/// assert_eq!(word("x; rm -rf ~"), "'x; rm -rf ~'");
/// ```
pub fn word(word: impl AsRef<str>) -> String {
    let word = word.as_ref();
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"_@%+=:,./-".contains(&b);
    if !word.is_empty() && word.bytes().all(is_plain) {
        return word.to_owned();
    }
    if word
        .chars()
        .any(|c| is_unseen(c) && !matches!(c, '\n' | '\t'))
    {
        return with_escapes(word);
    }
    shlex::try_quote(word).map_or_else(|_| word.to_owned(), Into::into)
}

/// One word on one line, whatever is in it, as bash reads it: for scripts, in which a line may mean
/// something by how it begins.
pub fn word_on_one_line(text: impl AsRef<str>) -> String {
    let text = text.as_ref();
    if text.contains(is_unseen) {
        with_escapes(text)
    } else {
        word(text)
    }
}

/// One word as every POSIX shell reads it, whatever is in it: for what `sh` is given and nobody is shown.
pub fn sh_word(word: impl AsRef<str>) -> String {
    format!("'{}'", word.as_ref().replace('\'', "'\\''"))
}

/// A word with characters that a terminal obeys, as `$'…'`: it is seen what they are, and a shell
/// still reads the same word.
fn with_escapes(word: &str) -> String {
    let mut quoted = "$'".to_owned();
    for c in word.chars() {
        match c {
            '\'' | '\\' => quoted.extend(['\\', c]),
            c if is_unseen(c) => {
                for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                    let _ = write!(quoted, "\\{byte:03o}");
                }
            }
            c => quoted.push(c),
        }
    }
    quoted + "'"
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::{line, word, word_on_one_line};

    #[test]
    fn a_shell_reads_back_what_was_quoted() {
        let words = [
            "plain",
            "",
            "$(touch x)",
            "`id`; id & id | id",
            "it's \"so\"",
            "back\\slash",
            "two\nlines\tand a tab",
            "\u{1b}]0;title\u{7}it's \\1",
            "exe\u{202e}gpj.sh\u{9b}",
            "~/*?[a]{b,c}!#=",
        ];
        let script = format!("printf '%s\\0' {}", line(&words));
        let read = Command::new("bash")
            .arg("-c")
            .arg(&script)
            .output()
            .unwrap();
        let read = String::from_utf8(read.stdout).unwrap();
        assert_eq!(read.split_terminator('\0').collect::<Vec<_>>(), words);
        assert!(
            !script.contains(['\u{1b}', '\u{202e}', '\u{9b}']),
            "{script}"
        );
        assert_eq!(word("\u{1b}1"), "$'\\0331'");
        assert_eq!(word_on_one_line("a\n#SBATCH -w x"), "$'a\\012#SBATCH -w x'");
    }
}
