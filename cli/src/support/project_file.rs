//! What is said at a terminal of a file of the project: as the library has it, with the next step by options.

use mlbuild::reporter::Finding;
use mlbuild::shell::word_on_one_line as word;
use mlbuild_templates::project::NextStep;

/// `environment.yml: not used: …; to use it: -r environment.yml`
pub fn line(found: &Finding) -> String {
    let of_itself = Finding {
        next: None,
        ..found.clone()
    };
    match &found.next {
        Some(next) => format!("{of_itself}; {}", self::next(next)),
        None => of_itself.to_string(),
    }
}

/// What to type. A file's name may be a stranger's: it is one word for the shell.
pub fn next(step: &NextStep) -> String {
    match step {
        NextStep::Do(_) => step.to_string(),
        NextStep::UseFile(file) => format!("to use it: -r {}", word(file)),
        NextStep::UseFiles(files) => {
            let options: Vec<String> = files
                .iter()
                .map(|file| format!("-r {}", word(file)))
                .collect();
            format!("to use it: {}", options.join(" "))
        }
        NextStep::UseOne(file) => format!("to use one: -r {}", word(file)),
        NextStep::BuildFile(file) => {
            format!("to build it as it is: mlbuild image -f {}", word(file))
        }
        NextStep::BuildOne(file) => {
            format!("to build one as it is: mlbuild image -f {}", word(file))
        }
        NextStep::BuildIn { context, file } => format!(
            "to build it as it is: mlbuild image {} -f {}",
            word(context),
            word(file)
        ),
        NextStep::Each(steps) => {
            let steps: Vec<String> = steps.iter().map(next).collect();
            steps.join("; ")
        }
        NextStep::SetPython(version) => format!("choose one: --python {version}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_name_is_one_word_for_the_shell_on_one_line() {
        for (step, typed) in [
            (
                NextStep::UseFile("r-$(id).txt".into()),
                "to use it: -r 'r-$(id).txt'",
            ),
            (
                NextStep::BuildFile("Dockerfile.x\nnext".into()),
                "to build it as it is: mlbuild image -f $'Dockerfile.x\\012next'",
            ),
            (NextStep::Do("a\nb".into()), "a\\u000ab"),
            (
                NextStep::UseFiles(vec!["requirements.txt".into(), "set up.py".into()]),
                "to use it: -r requirements.txt -r 'set up.py'",
            ),
            (
                NextStep::BuildIn {
                    context: "services/web".into(),
                    file: "services/web/$(id)".into(),
                },
                "to build it as it is: mlbuild image services/web -f 'services/web/$(id)'",
            ),
            (
                NextStep::Each(vec![
                    NextStep::UseOne("a b.txt".into()),
                    NextStep::BuildOne("x/Dockerfile".into()),
                ]),
                "to use one: -r 'a b.txt'; to build one as it is: mlbuild image -f x/Dockerfile",
            ),
        ] {
            assert_eq!(next(&step), typed);
        }
    }

    #[test]
    fn the_rest_of_the_line_is_the_librarys() {
        let mut found = Finding {
            file: "environment.yml".into(),
            used: false,
            why: "other files say which packages there are".into(),
            next: Some(NextStep::UseFile("environment.yml".into())),
            is_aside: false,
        };
        let said = "environment.yml: not used: other files say which packages there are";
        assert_eq!(
            line(&found),
            format!("{said}; to use it: -r environment.yml")
        );
        found.next = None;
        assert_eq!(line(&found), said);
    }
}
