//! The points of an array as one indexed Job: a pod for each, whose number chooses its values.
//!
//! All pods of a Job have one template, and no field of a pod has another value for each number: a shell of the
//! image looks the values up, and starts the command with them. So `sh` and `env` have to be in the image, and its
//! entry point has to be known, whose place the shell takes.

use super::job_builder::JobBuilder;
use super::job_kind::JobKind;
use super::names::longest_name;
use super::nodes::number;
use crate::runtime::array::{Array, FLAG, Piece};
use crate::runtime::options::Options;
use crate::shell::sh_word;

/// The annotation of a Job that is an array: its axes, a list of `NAME=VALUE,VALUE` in JSON.
pub const ARRAY_ANNOTATION: &str = "mlbuild/array";
/// Where a pod of an indexed Job has its number; the cluster sets it where the Job doesn't.
const INDEX: &str = "JOB_COMPLETION_INDEX";
/// What stands after the array's run in a variable that has the point's.
const POINT: &str = "-$(JOB_COMPLETION_INDEX)";
/// Most bytes of the script: Linux takes 128 KiB as one word, and an object's annotations have 256 KiB.
const MOST_SCRIPT: usize = 100 << 10;

/// An array, and what the image starts.
#[derive(Debug, Clone)]
pub struct Grid {
    /// The array.
    pub array: Array,
    /// What the image starts; `None` where no registry has it.
    pub image: Option<ImageWords>,
}

/// What an image starts where nobody says otherwise.
#[derive(Debug, Clone, Default)]
pub struct ImageWords {
    /// Its entry point.
    pub entrypoint: Vec<String>,
    /// Its command.
    pub command: Vec<String>,
}

/// What a variable has in each pod that is to have the id of the point's run.
pub fn run_of_each_point(run: &str) -> String {
    format!("{run}{POINT}")
}

/// The array's run, of such a variable; other values stay as they are.
pub fn run_of_all_points(value: &str) -> &str {
    value.strip_suffix(POINT).unwrap_or(value)
}

/// Has each pod start the command with its point's values. What the variables are that the user gave must be
/// there already.
pub(super) fn add(
    builder: &mut JobBuilder,
    own: &Options,
    (kind, job, nodes): (JobKind, &str, u32),
    grid: &Grid,
) {
    let array = &grid.array;
    if nodes > 1 {
        builder.refuse(
            "--nodes",
            "each point of --array is one pod: submit the points one by one, without --array",
        );
    }
    if kind != JobKind::Job {
        builder.refuse(
            format!("--kind={}", kind.word()),
            "an array is a Job of Kubernetes itself: leave --kind out",
        );
    }
    if builder.pod.hostname.is_some() {
        builder.refuse(
            "--hostname",
            "each point has a name of its own: NAME-0, NAME-1, …",
        );
    }
    for pair in own.all("port-forward") {
        builder.refuse(
            format!("--port-forward={pair}"),
            "of an array the point has to be named: mlbuild logs -f --port-forward LOCAL:REMOTE RUN-0",
        );
    }
    let longest = longest_name(kind, u32::try_from(array.len()).unwrap_or(u32::MAX));
    if job.len() > longest {
        builder.refuse(
            "--name",
            format!("its pods' names add a number to it: {longest} characters at most"),
        );
    }
    for axis in &array.axes {
        let mut given = builder.container.env.iter().flatten();
        if given.any(|known| known.name == axis.name) {
            builder.refuse(
                format!("--env={}", axis.name),
                "the array has a variable of this name: leave one of them out",
            );
        }
    }
    start(builder, grid);
    let env = builder.container.env.get_or_insert_default();
    env.retain(|variable| variable.name != INDEX);
    // Variables have references to those before them alone.
    env.insert(0, number(INDEX));
}

/// Puts the shell before the command.
fn start(builder: &mut JobBuilder, grid: &Grid) {
    let Some(words) = words(builder, grid) else {
        return;
    };
    if words.is_empty() {
        return builder.refuse(
            format!("--{FLAG}"),
            "the image starts nothing by itself: write a command after it",
        );
    }
    let (script, args) = script(&grid.array, &words);
    if script.len() > MOST_SCRIPT {
        return builder.refuse(
            format!("--{FLAG}"),
            format!(
                "its values are {} KiB, and a pod's command has room for {}: submit it in parts",
                script.len() >> 10,
                MOST_SCRIPT >> 10
            ),
        );
    }
    let shell = ["sh", "-c", &literal(&script), "sh"].map(str::to_owned);
    builder.container.command = Some(shell.to_vec());
    builder.container.args = Some(args);
}

/// The words that are started without an array, as the Job would have them.
fn words(builder: &mut JobBuilder, grid: &Grid) -> Option<Vec<String>> {
    let said = builder.container.command.clone();
    let args = builder.container.args.clone();
    let of_image = |words: &[String]| words.iter().map(|word| literal(word)).collect();
    let (mut words, args): (Vec<String>, Vec<String>) = match (said, &grid.image) {
        // The image's own command is for its own entry point.
        (Some(program), _) => (program, args.unwrap_or_default()),
        (None, Some(image)) => (
            of_image(&image.entrypoint),
            args.unwrap_or_else(|| of_image(&image.command)),
        ),
        (None, None) => {
            builder.refuse(
                "--local-image",
                "no registry says what the image starts, which an array has to know: write --entrypoint PROGRAM",
            );
            return None;
        }
    };
    words.extend(args);
    Some(words)
}

/// The script, and the words that it is given: no text of the command is in it.
fn script(array: &Array, words: &[String]) -> (String, Vec<String>) {
    let mut script = "mlbuild_pick() { shift \"$(($1 + 1))\"; mlbuild_value=$1; }\n".to_owned();
    let mut pairs = Vec::new();
    for (at, axis) in array.axes.iter().enumerate() {
        let values: Vec<String> = axis.values.iter().map(value).collect();
        script += &format!(
            "mlbuild_pick \"$(({INDEX} / {} % {}))\" {}\nmlbuild_{at}=$mlbuild_value\n",
            array.stride(at),
            axis.values.len(),
            values.join(" ")
        );
        pairs.push(format!("\"{}=$mlbuild_{at}\"", axis.name));
    }
    let mut args = Vec::new();
    let mut line = Vec::new();
    for word in words {
        let mut quoted = String::new();
        for piece in array.pieces(word) {
            match piece {
                Piece::Text(text) => {
                    args.push(text.to_owned());
                    quoted += &format!("${{{}}}", args.len());
                }
                Piece::Value(name) => {
                    let at = array.axes.iter().position(|axis| axis.name == name);
                    quoted += &format!("$mlbuild_{}", at.unwrap_or_default());
                }
            }
        }
        line.push(format!("\"{quoted}\""));
    }
    script += &format!("exec env {} {}", pairs.join(" "), line.join(" "));
    (script, args)
}

/// A value as `sh` reads it.
fn value(text: &String) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._+-/:,@%=".contains(c);
    match text.chars().all(is_plain) {
        true => text.clone(),
        false => sh_word(text),
    }
}

/// A text that the node hands on as it is: it takes `$(NAME)` for a variable's value, and `$$` for a `$`
/// (<https://kubernetes.io/docs/tasks/inject-data-application/define-command-argument-container/>).
fn literal(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        written.push(c);
        if c == '$' && matches!(rest.peek(), Some('$' | '(')) {
            written.push('$');
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// What the kubelet makes of a text where no variable is known.
    fn expanded(text: &str) -> String {
        let (mut read, mut rest) = (String::new(), text);
        while let Some(at) = rest.find('$') {
            read += &rest[..=at];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix('$') {
                rest = after;
            }
        }
        read + rest
    }

    fn run(script: &str, args: &[String], index: usize) -> String {
        let output = Command::new("sh")
            .args(["-c", script, "sh"])
            .args(args)
            .env(INDEX, index.to_string())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn a_texts_dollars_arrive() {
        for text in [
            "",
            "$",
            "$$",
            "$(A)",
            "$$(A)",
            "$((1 + 1))",
            "a$b$$$c$",
            "$$$(X",
        ] {
            assert_eq!(expanded(&literal(text)), text);
        }
    }

    #[test]
    fn each_number_has_its_values_and_words() {
        let texts = ["UID=1,b c,$HOME'x,*", "EUID=-1..1", "n=1"];
        let array = Array::of(texts.map(str::to_owned)).unwrap().unwrap();
        let words = [
            "sh",
            "-c",
            "printf '%s|' \"$(printenv UID)\" \"$(printenv EUID)\" \"$n\" \"$@\"",
            "sh",
            "",
            "{UID}",
            "a{n}b{EUID}",
            "{other} ${n} $(HOME) 'q'",
        ];
        let words = words.map(str::to_owned);
        let (text, args) = script(&array, &words);
        let sent = literal(&text);
        for index in 0..array.len() {
            let point = array.point(index);
            let (uid, ifs) = (point[0].1, point[1].1);
            let wanted = format!("{uid}|{ifs}|1||{uid}|a1b{ifs}|{{other}} ${{n}} $(HOME) 'q'|");
            assert_eq!(run(&expanded(&sent), &args, index), wanted, "{index}");
        }
    }
}
