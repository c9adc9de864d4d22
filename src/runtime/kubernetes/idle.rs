//! `--idle-stop`: a container that does nothing for so long is ended by its node, whether anybody is connected or
//! not. The kubelet looks by a liveness probe, whose failures it counts
//! (<https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/>): the script of one look
//! is `idle.sh`, and a success begins the count anew.

use k8s_openapi::api::core::v1::{EmptyDirVolumeSource, ExecAction, Probe, Volume, VolumeMount};

use super::job_builder::JobBuilder;
use super::job_kind::JobKind;
use super::quantity;

const LOOK: &str = include_str!("idle.sh");
/// Where a look leaves what it has seen.
const ROOM: &str = "/run/mlbuild/idle";
const VOLUME: &str = "idle";
/// Most seconds between two looks.
const PAUSE: i64 = 30;
/// Looks in the shortest time.
const LOOKS: i64 = 4;

/// Has the node look; `text` is the time as it was written, and `ports` further ones of the container.
pub(super) fn stop(builder: &mut JobBuilder, text: &str, ports: &[u16], kind: JobKind) {
    let Some(seconds) = quantity::seconds(text).filter(|seconds| *seconds >= LOOKS) else {
        return builder.refuse(
            format!("--idle-stop={text}"),
            "write a time such as 30m or 2h",
        );
    };
    if kind == JobKind::MpiJob {
        return builder.refuse(
            "--idle-stop",
            "an MPIJob's launcher waits for its workers and is idle then; --time-limit ends it after a time",
        );
    }
    if builder.retries > 0 {
        return builder.refuse(
            "--idle-stop",
            "with --restart the cluster would start again what was stopped as idle; leave one of them out",
        );
    }
    let pause = (seconds / LOOKS).min(PAUSE);
    let enough = (seconds + pause - 1) / pause;
    let own = builder.container.ports.iter().flatten();
    let own = own.filter_map(|port| u16::try_from(port.container_port).ok());
    let said = format!("idle for {text}: --idle-stop ended it");
    let words = ["sh", "-c", LOOK, "sh", &enough.to_string(), &said].map(str::to_owned);
    let ports = own
        .chain(ports.iter().copied())
        .map(|port| format!("{port:04X}"));
    let number = |number: i64| Some(i32::try_from(number).unwrap_or(i32::MAX));
    builder.container.liveness_probe = Some(Probe {
        exec: Some(ExecAction {
            command: Some(words.into_iter().chain(ports).collect()),
        }),
        period_seconds: number(pause),
        failure_threshold: number(enough),
        // One that takes too long has failed, too: of a container that is busy it may take long.
        timeout_seconds: number(PAUSE),
        ..Probe::default()
    });
    let volumes = builder.pod.volumes.get_or_insert_default();
    volumes.push(Volume {
        name: VOLUME.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource::default()),
        ..Volume::default()
    });
    let mounts = builder.container.volume_mounts.get_or_insert_default();
    mounts.push(VolumeMount {
        name: VOLUME.to_owned(),
        mount_path: ROOM.to_owned(),
        ..VolumeMount::default()
    });
}
