//! Every environment variable that mlbuild reads, documented once.
//!
//! The table in `docs/environment.md` is written from [`ALL`].

/// Address of the builder, as `--builder`.
pub const BUILDKIT_HOST: &str = "BUILDKIT_HOST";
/// Run id of the experiment tracker, used where `--run-id` is not given.
pub const WANDB_RUN_ID: &str = "WANDB_RUN_ID";
/// Key of the experiment tracker, handed to containers that `mlbuild run` starts.
pub const WANDB_API_KEY: &str = "WANDB_API_KEY";
/// Address of the experiment tracker's own server.
pub const WANDB_BASE_URL: &str = "WANDB_BASE_URL";
/// In a container that `mlbuild run` started: its pinned image, as the experiment tracker records it.
pub const WANDB_DOCKER: &str = "WANDB_DOCKER";
/// In a container that `mlbuild run` started: its pinned image.
pub const MLBUILD_IMAGE: &str = "MLBUILD_IMAGE";
/// In a container that `mlbuild run` started: its run id.
pub const MLBUILD_RUN_ID: &str = "MLBUILD_RUN_ID";
/// Name of the pod, where its specification hands it in by downward API.
pub const MLBUILD_POD_NAME: &str = "MLBUILD_POD_NAME";
/// Namespace of the pod, handed in the same way.
pub const MLBUILD_POD_NAMESPACE: &str = "MLBUILD_POD_NAMESPACE";
/// Name of the container, which a pod's specification can write down.
pub const MLBUILD_CONTAINER: &str = "MLBUILD_CONTAINER";
/// Set by most CI services: no questions are asked, and a private builder is started where none is found.
pub const CI: &str = "CI";
/// Seconds since 1970-01-01 that all times in the image are held to.
pub const SOURCE_DATE_EPOCH: &str = "SOURCE_DATE_EPOCH";
/// Switches colours off where it is set to anything but the empty string.
pub const NO_COLOR: &str = "NO_COLOR";
/// Default for `--progress`.
pub const BUILDKIT_PROGRESS: &str = "BUILDKIT_PROGRESS";
/// Set by `mlbuild gui-run --detach` for the process that it leaves behind.
pub const MLBUILD_GUI_KEEPER: &str = "MLBUILD_GUI_KEEPER";
/// Folder for caches and the private builder (default `~/.local/state/mlbuild`).
pub const MLBUILD_STATE_DIR: &str = "MLBUILD_STATE_DIR";

/// Where queues and jobs are kept.
pub const MLBUILD_QUEUE_STORE: &str = "MLBUILD_QUEUE_STORE";
/// Password of the store in PostgreSQL.
pub const PGPASSWORD: &str = "PGPASSWORD";
/// Private key that `mlbuild attest --sign` signs with, read by cosign.
pub const COSIGN_KEY: &str = "COSIGN_KEY";

/// One variable: its name, what it does.
pub struct EnvVar {
    /// Name.
    pub name: &'static str,
    /// What it does, one sentence.
    pub about: &'static str,
}

/// Every variable, in alphabetical order.
pub const ALL: &[EnvVar] = &[
    var(BUILDKIT_HOST, "Address of the builder, as `--builder`."),
    var(BUILDKIT_PROGRESS, "Default for `--progress`."),
    var(
        CI,
        "Set by CI services: nothing is asked, and a private builder is started where none is found.",
    ),
    var(
        "COSIGN_KEY, COSIGN_PASSWORD",
        "Private key that `mlbuild attest --sign` signs with, where `--key` is not given, and its password: both read by cosign.",
    ),
    var(
        "DISPLAY, XAUTHORITY",
        "The display that `mlbuild gui-run` shows windows on, and the file with its cookie (default: `~/.Xauthority`).",
    ),
    var(
        "DOCKER_CONFIG",
        "Folder of Docker's `config.json`: registry credentials and contexts.",
    ),
    var("DOCKER_CONTEXT", "Docker context whose builder is used."),
    var("DOCKER_HOST", "Address of a Docker daemon."),
    var(
        "HTTP_PROXY, HTTPS_PROXY, NO_PROXY",
        "Proxies, used by mlbuild and passed to RUN steps as build-only variables.",
    ),
    var(
        "KUBECONFIG",
        "Files that name clusters and log-ins (default: `~/.kube/config`).",
    ),
    var(
        MLBUILD_CONTAINER,
        "Name of the container that `mlbuild env` runs in, where the kubelet's mounts don't tell it.",
    ),
    var(
        MLBUILD_GUI_KEEPER,
        "Set by `mlbuild gui-run --detach` for the process that it leaves behind to take the cookie away.",
    ),
    var(
        "MLBUILD_POD_NAME, MLBUILD_POD_NAMESPACE",
        "The pod that `mlbuild env` runs in, by downward API; otherwise `HOSTNAME`, and the service account's namespace.",
    ),
    var(
        MLBUILD_QUEUE_STORE,
        "Where queues and jobs are kept: a file, or `postgres://…` (default: `queue.db` in the folder for caches).",
    ),
    var(
        "MLBUILD_RUN_ID, MLBUILD_IMAGE, WANDB_DOCKER",
        "Set by `mlbuild run` and `mlbuild submit` inside the container: the run id, and the pinned image.",
    ),
    var(
        MLBUILD_STATE_DIR,
        "Folder for caches and the private builder (default: `$XDG_STATE_HOME/mlbuild`, else `~/.local/state/mlbuild`).",
    ),
    var(
        "NETRC",
        "File of log-ins (default: `~/.netrc`) that `mlbuild run` takes the tracker's key from where `WANDB_API_KEY` is not set.",
    ),
    var(NO_COLOR, "Switches colours off."),
    var(
        PGPASSWORD,
        "Password of the store in PostgreSQL, where its address holds none.",
    ),
    var(
        "PIP_CONFIG_FILE, PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, UV_INDEX_URL, UV_DEFAULT_INDEX",
        "Package indexes of the host, passed to RUN steps as secrets.",
    ),
    var(
        "PULSE_SERVER",
        "Socket of the sound server for `--audio` (default: in `XDG_RUNTIME_DIR`).",
    ),
    var(
        "REGISTRY_AUTH_FILE",
        "Podman's registry credentials (default: its `auth.json`), used where Docker's hold none.",
    ),
    var(
        SOURCE_DATE_EPOCH,
        "Seconds since 1970-01-01 that the times in an image are held to.",
    ),
    var("SSH_AUTH_SOCK", "ssh agent for `--ssh default`."),
    var(
        "SSL_CERT_FILE",
        "CA bundle of the host: used for registries, and passed to RUN steps as a secret.",
    ),
    var(
        WANDB_API_KEY,
        "Key of the experiment tracker: `mlbuild run` hands it to the container.",
    ),
    var(
        WANDB_BASE_URL,
        "The tracker's own server: its host's entry in netrc holds the key.",
    ),
    var(
        WANDB_RUN_ID,
        "Run id of an image or a run, where `--run-id` is not given.",
    ),
    var(
        "WAYLAND_DISPLAY",
        "The Wayland socket for `mlbuild gui-run --wayland`, in `XDG_RUNTIME_DIR` or by path.",
    ),
    var(
        "XDG_RUNTIME_DIR",
        "Folder of the session: its sockets, and the private folder of a `mlbuild gui-run` (default: `/tmp`).",
    ),
];

const fn var(name: &'static str, about: &'static str) -> EnvVar {
    EnvVar { name, about }
}

/// The folder for caches and the private builder.
///
/// `MLBUILD_STATE_DIR`, else `$XDG_STATE_HOME/mlbuild`, else
/// `~/.local/state/mlbuild`; `None` where there is no home folder either.
pub fn state_dir() -> Option<std::path::PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(folder) = set(MLBUILD_STATE_DIR) {
        return Some(folder.into());
    }
    if let Some(folder) = set("XDG_STATE_HOME") {
        return Some(std::path::Path::new(&folder).join("mlbuild"));
    }
    Some(std::path::Path::new(&set("HOME")?).join(".local/state/mlbuild"))
}
