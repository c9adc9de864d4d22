//! Errors of command lines that are docker's.

use crate::error::CommandError;
use mlbuild::runtime::RunSpecError;

impl From<RunSpecError> for CommandError {
    fn from(error: RunSpecError) -> Self {
        CommandError::user(&error).hint(hint(&error))
    }
}

/// What to type instead.
fn hint(error: &RunSpecError) -> String {
    let did_you_mean = |name: Option<&str>, verb: &str| match name {
        Some(name) => format!("did you mean `--{name}`?"),
        None => format!("mlbuild {verb} --help lists the flags"),
    };
    match error {
        RunSpecError::UnknownFlag { near, verb, .. } => did_you_mean(*near, verb),
        RunSpecError::UnknownShort { meant, verb, .. } => did_you_mean(*meant, verb),
        RunSpecError::MissingValue { flag } | RunSpecError::Value { flag, .. } => {
            format!("write {flag} {}", flag.value_name)
                .trim_end()
                .to_owned()
        }
        RunSpecError::NoImage { verb, .. } => {
            format!("write mlbuild {verb} [FLAGS] IMAGE [COMMAND]")
        }
        RunSpecError::Malformed { verb, .. } => did_you_mean(None, verb),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mlbuild::runtime::parse;

    fn error(line: &str) -> CommandError {
        parse(&shlex::split(line).unwrap()).unwrap_err().into()
    }

    #[test]
    fn mistakes_are_named_with_what_to_type() {
        let lines = [
            "--shmsize=1g img",
            "--zzzzzzzzzzzz img",
            "-rm img",
            "-itx img",
            "--shm-size=1gg img",
            "--memory lots img",
            "--ulimit memlok=-1 img",
            "--pull=allways img",
            "--tty=maybe img",
            "-v data:app img",
            "-v /a:/b:ro:z img",
            "-e =1 img",
            "--mount type=bind,source=/a img",
            "---x img",
            "-it --name",
            "-it --name img",
            "",
        ];
        let said: Vec<String> = lines
            .iter()
            .map(|line| format!("$ {line}\n{}", error(line)))
            .collect();
        insta::assert_snapshot!(said.join("\n"), @r"
        $ --shmsize=1g img
        unknown flag --shmsize
          hint: did you mean `--shm-size`?
        $ --zzzzzzzzzzzz img
        unknown flag --zzzzzzzzzzzz
          hint: mlbuild run --help lists the flags
        $ -rm img
        unknown flag -r in -rm
          hint: did you mean `--rm`?
        $ -itx img
        unknown flag -x in -itx
          hint: mlbuild run --help lists the flags
        $ --shm-size=1gg img
        --shm-size 1gg: not a size; write a number with b, k, m or g, such as 512m or 1g
          hint: write --shm-size SIZE
        $ --memory lots img
        --memory lots: not a size; write a number with b, k, m or g, such as 512m or 1g
          hint: write --memory SIZE
        $ --ulimit memlok=-1 img
        --ulimit memlok=-1: unknown limit `memlok`; did you mean `memlock`?
          hint: write --ulimit NAME=SOFT[:HARD]
        $ --pull=allways img
        --pull allways: did you mean `always`? There are always, missing, never
          hint: write --pull always|missing|never
        $ --tty=maybe img
        --tty maybe: write true or false
          hint: write --tty
        $ -v data:app img
        --volume data:app: the path in the container, `app`, must begin with /
          hint: write --volume [SOURCE:]DIR[:OPTIONS]
        $ -v /a:/b:ro:z img
        --volume /a:/b:ro:z: too many colons; write SOURCE:DIR or SOURCE:DIR:ro
          hint: write --volume [SOURCE:]DIR[:OPTIONS]
        $ -e =1 img
        --env =1: the name is empty; write NAME=VALUE
          hint: write --env NAME[=VALUE]
        $ --mount type=bind,source=/a img
        --mount type=bind,source=/a: it names no target; add target=DIR
          hint: write --mount type=TYPE,source=SOURCE,target=DIR
        $ ---x img
        `---x` isn't a flag
          hint: mlbuild run --help lists the flags
        $ -it --name
        --name needs a value
          hint: write --name NAME
        $ -it --name img
        no image is given; `img` was read as the value of --name
          hint: write mlbuild run [FLAGS] IMAGE [COMMAND]
        $ 
        no image is given
          hint: write mlbuild run [FLAGS] IMAGE [COMMAND]
        ");
    }
}
