//! `docker-container://`: a buildkitd in a container, through `docker exec`.

use mlbuild_docker::transport::ChildCommand;

pub(super) fn command(name: &str, context: Option<&str>) -> ChildCommand {
    let mut command = ChildCommand::new("docker", format!("docker-container://{name}"));
    if let Some(context) = context {
        command.arg(format!("--context={context}"));
    }
    command.args(["exec", "-i", name, "buildctl", "dial-stdio"]);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn argv() {
        assert_eq!(
            command("b0", Some("far")).to_string(),
            "docker --context=far exec -i b0 buildctl dial-stdio"
        );
    }
}
