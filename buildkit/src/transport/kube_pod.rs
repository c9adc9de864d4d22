//! `kube-pod://`: a buildkitd in a pod, through `kubectl exec`.

use mlbuild_docker::transport::ChildCommand;

pub(super) fn command(
    pod: &str,
    context: Option<&str>,
    namespace: Option<&str>,
    container: Option<&str>,
) -> ChildCommand {
    let mut command = ChildCommand::new("kubectl", format!("kube-pod://{pod}"));
    if let Some(context) = context {
        command.arg(format!("--context={context}"));
    }
    if let Some(namespace) = namespace {
        command.arg(format!("--namespace={namespace}"));
    }
    command.arg("exec");
    if let Some(container) = container {
        command.arg(format!("--container={container}"));
    }
    command.args(["-i", pod, "--", "buildctl", "dial-stdio"]);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn argv() {
        assert_eq!(
            command("b0", Some("prod"), Some("ci"), Some("buildkitd")).to_string(),
            "kubectl --context=prod --namespace=ci exec --container=buildkitd -i b0 -- buildctl dial-stdio"
        );
        assert_eq!(
            command("b0", None, None, None).to_string(),
            "kubectl exec -i b0 -- buildctl dial-stdio"
        );
    }
}
