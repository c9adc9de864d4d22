//! What the steps of a composed image are called while they run: the comments of
//! its Dockerfile, which say more than a screen of shell does.

/// Gives the title of a step of this Dockerfile from the name that the builder gave it.
///
/// Only RUN steps have one, and only where the Dockerfile has one stage: the
/// builder's count of steps is then the Dockerfile's.
pub fn titles(dockerfile: &str) -> impl Fn(&str) -> Option<String> + Send + 'static {
    let steps = steps(dockerfile);
    move |name| {
        let (place, command) = name.strip_prefix('[')?.split_once("] ")?;
        let (before, count) = place.rsplit_once(' ').unwrap_or(("", place));
        let (number, all) = count.split_once('/')?;
        let title = steps.get(number.parse::<usize>().ok()?.checked_sub(1)?)?;
        if all.parse() != Ok(steps.len()) || !command.starts_with("RUN ") {
            return None;
        }
        let platform = before.split(' ').find(|word| word.contains('/'));
        let platform = platform.map_or(String::new(), |platform| format!("{platform} "));
        Some(format!("[{platform}{count}] {}", title.as_ref()?))
    }
}

/// The title of each step that the builder counts; none at all for several stages.
fn steps(dockerfile: &str) -> Vec<Option<String>> {
    let mut steps = Vec::new();
    let mut stages = 0;
    for paragraph in dockerfile.split("\n\n") {
        let comment = paragraph.lines().next().and_then(|l| l.strip_prefix("# "));
        let title = comment.map(|text| {
            let end = text.find([':', '.']).unwrap_or(text.len());
            text[..end].to_owned()
        });
        let mut continued = false;
        for line in paragraph.lines() {
            let is_comment = line.trim_start().starts_with('#');
            if !continued && !is_comment {
                match line.split(' ').next() {
                    Some("FROM") => {
                        stages += 1;
                        steps.push(None);
                    }
                    Some("RUN") => steps.push(title.clone()),
                    Some("COPY" | "ADD" | "WORKDIR") => steps.push(None),
                    _ => {}
                }
            }
            // A comment between continued lines ends nothing.
            continued = line.ends_with('\\') || (continued && is_comment);
        }
    }
    if stages == 1 { steps } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# Head.\n\nARG B=x\nFROM ${B}\n\n# Packages of the distribution.\nARG A=\"\"\n\
        RUN a; \\\n    # why\n    RUN x\nWORKDIR /app\n\n# The user: one layer.\nCOPY a b\nRUN u\n";

    #[test]
    fn a_run_step_is_called_as_the_comment_above_it() {
        let title = titles(TEXT);
        insta::assert_snapshot!(title("[stage-0 2/5] RUN a;     RUN x").unwrap(), @"[2/5] Packages of the distribution");
        insta::assert_snapshot!(title("[linux/arm64 stage-0 5/5] RUN u").unwrap(), @"[linux/arm64 5/5] The user");
    }

    #[test]
    fn what_is_not_surely_such_a_step_keeps_its_name() {
        let title = titles(TEXT);
        for name in [
            "[stage-0 1/5] FROM x",
            "[stage-0 4/5] COPY a b",
            "[stage-0 2/6] RUN a",
            "[stage-0 9/5] RUN a",
            "[internal] load build context",
            "RUN a",
            "[0/5] RUN a",
        ] {
            assert_eq!(title(name), None, "{name}");
        }
        assert_eq!(
            titles(&format!("{TEXT}FROM y\n"))("[stage-0 2/5] RUN a"),
            None
        );
    }
}
