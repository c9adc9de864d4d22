//! The container of a run, found again by its label.

use std::process::{Command, Stdio};

use jiff::Timestamp;
use mlbuild_manifests::RunId;
use serde_json::Value;

use super::runtime_cli::ContainerRuntime;

/// Every container that mlbuild starts has it; its value is the run's id.
pub(crate) const LABEL: &str = "org.mlbuild.run";

/// How a container ended.
pub(crate) struct ContainerEnd {
    pub(crate) code: i32,
    pub(crate) at: Timestamp,
}

/// The end of a run's container; `None` where it runs, is gone, or can't be asked for.
pub(crate) async fn end_of(runtime: &ContainerRuntime, id: &RunId) -> Option<ContainerEnd> {
    let label = format!("{LABEL}={id}");
    let told = match &runtime.docker {
        Some(daemon) => {
            let all = daemon.api.containers(&[label], true).await.ok()?;
            let id = all.first()?["Id"].as_str()?;
            daemon.api.container_json(id).await.ok()??
        }
        None => {
            let filter = format!("label={label}");
            let ids = said(runtime, &["ps", "--all", "--quiet", "--filter", &filter])?;
            let id = ids.lines().next()?.to_owned();
            let told = said(runtime, &["container", "inspect", &id])?;
            let mut all: Vec<Value> = serde_json::from_str(&told).ok()?;
            all.pop()?
        }
    };
    ended(&told["State"])
}

fn ended(state: &Value) -> Option<ContainerEnd> {
    // One that was never started has no end.
    let is_over = matches!(
        state["Status"].as_str(),
        Some("exited" | "dead" | "stopped")
    );
    is_over.then_some(())?;
    Some(ContainerEnd {
        code: i32::try_from(state["ExitCode"].as_i64()?).ok()?,
        at: state["FinishedAt"].as_str()?.parse().ok()?,
    })
}

fn said(runtime: &ContainerRuntime, args: &[&str]) -> Option<String> {
    let output = Command::new(&runtime.program)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let said = output.status.success().then_some(output.stdout)?;
    String::from_utf8(said).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::ended;

    #[test]
    fn only_what_is_over_has_an_end() {
        let state = |status: &str| {
            let at = "2026-03-01T12:00:00.123456789Z";
            ended(&json!({"Status": status, "ExitCode": 5, "FinishedAt": at}))
        };
        let end = state("exited").unwrap();
        assert_eq!((end.code, end.at.to_string().len()), (5, 30));
        assert!(state("running").is_none() && state("created").is_none());
    }
}
