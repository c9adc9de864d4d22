//! Findings as a person reads them.

use std::fmt::Write as _;

use mlbuild_progress::printable;

use super::{Finding, Level};

/// The findings as lines, areas in a column; with `color`, by ANSI escape sequences.
pub fn text(findings: &[Finding], color: bool) -> String {
    let width = findings.iter().map(|f| f.area.len()).max().unwrap_or(0);
    let mut text = String::new();
    let mut last = "";
    for finding in findings {
        let (word, code) = match finding.level {
            Level::Ok => ("ok  ", "32"),
            Level::Warn => ("warn", "33"),
            Level::Fail => ("FAIL", "31"),
        };
        let word = if color {
            format!("\x1b[{code}m{word}\x1b[0m")
        } else {
            word.to_owned()
        };
        let area = if finding.area == last {
            ""
        } else {
            finding.area
        };
        last = finding.area;
        let indent = width + 7;
        let message = printable::text(&finding.message).replace('\n', &format!("\n{:indent$}", ""));
        // Writing to a String doesn't fail.
        let _ = writeln!(text, "{area:width$}  {word} {message}");
        for line in finding.fix.iter().flat_map(|fix| fix.lines()) {
            let line = printable::text(line);
            let _ = writeln!(text, "{:indent$}→ {line}", "");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_stand_in_columns_with_what_to_do_under_them() {
        let findings = [
            Finding::ok("builder", "BuildKit v0.25.2"),
            Finding::warn("builder", "old", "upgrade it\nor not"),
            Finding::fail(
                "disk",
                "no builder found; tried:\n  docker: no",
                "mlbuild engine up",
            ),
        ];
        insta::assert_snapshot!(text(&findings, false), @r"
        builder  ok   BuildKit v0.25.2
                 warn old
                      → upgrade it
                      → or not
        disk     FAIL no builder found; tried:
                        docker: no
                      → mlbuild engine up
        ");
    }
}
