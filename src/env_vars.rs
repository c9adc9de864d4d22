//! Every environment variable that mlbuild reads or sets, declared and described once.
//!
//! A variable's text is its constant's documentation and its row in `docs/environment.md`. A test
//! holds the sources against [`ALL`].

/// One variable: its name, what it does.
pub struct EnvVar {
    /// Name.
    pub name: &'static str,
    /// What it does, in Markdown.
    pub about: &'static str,
}

macro_rules! variables {
    ($($name:ident = $about:literal;)*) => {
        $(
            #[doc = $about]
            pub const $name: &str = stringify!($name);
        )*

        /// Every variable, in alphabetical order.
        pub const ALL: &[EnvVar] = &[$(EnvVar { name: $name, about: $about }),*];
    };
}

variables! {
    ACTIONS_CACHE_URL =
        "Address of the GitHub Actions cache, for `--cache-to type=gha` and `--cache-from type=gha`.";
    ACTIONS_RESULTS_URL =
        "The same for version 2 of that cache.";
    ACTIONS_RUNTIME_TOKEN =
        "Token for that cache; GitHub sets all three in its jobs.";
    ALL_PROXY =
        "Proxy for every protocol, passed to RUN steps as a build-only variable.";
    BUILDKIT_HOST =
        "Address of the builder, as `--builder`.";
    BUILDKIT_PROGRESS =
        "Default for `--progress`.";
    CI =
        "Set by CI services: nothing is asked, and a private builder is started where none is found.";
    COSIGN_KEY =
        "Private key that `mlbuild attest --sign` signs with, where `--key` is not given; read by cosign.";
    COSIGN_PASSWORD =
        "Password of that key; read by cosign.";
    CURL_CA_BUNDLE =
        "CA bundle of the host, where `SSL_CERT_FILE`, `PIP_CERT` and `REQUESTS_CA_BUNDLE` name none.";
    DISPLAY =
        "The X11 display that `mlbuild gui-run` shows windows on.";
    DOCKER_CERT_PATH =
        "Folder of the certificates for a `DOCKER_HOST` that is reached by TLS.";
    DOCKER_CONFIG =
        "Folder of Docker's `config.json`: registry credentials and contexts (default: `~/.docker`).";
    DOCKER_CONTEXT =
        "Docker context whose builder is used.";
    DOCKER_HOST =
        "Address of a Docker daemon.";
    DOCKER_TLS_VERIFY =
        "Set: the daemon at `DOCKER_HOST` is reached by TLS.";
    EXPERIMENTAL_BUILDKIT_SOURCE_POLICY =
        "Default for `--source-policy`.";
    FTP_PROXY =
        "Proxy for ftp, passed to RUN steps as a build-only variable.";
    GIT_DIR =
        "Git's own: where it is set, or `GIT_WORK_TREE`, a repository's files may lie outside its folder.";
    GIT_WORK_TREE =
        "As `GIT_DIR`.";
    HOME =
        "The user's home folder, where configuration, log-ins and caches are looked for.";
    HOSTNAME =
        "Name of the pod that `mlbuild env` runs in, where `MLBUILD_POD_NAME` is not set.";
    HTTPS_PROXY =
        "Proxy for https, used by mlbuild and passed to RUN steps as a build-only variable. This and the other proxy variables are read in lower case, too.";
    HTTP_PROXY =
        "Proxy for http, used by mlbuild and passed to RUN steps as a build-only variable.";
    KUBECONFIG =
        "Files that name clusters and log-ins (default: `~/.kube/config`).";
    KUBERNETES_SERVICE_HOST =
        "Set in every pod: without a kubeconfig, the pod's own cluster is used.";
    LANG =
        "Locale, where neither `LC_ALL` nor `LC_CTYPE` is set: progress is drawn with Unicode characters where it is a UTF-8 one.";
    LC_ALL =
        "Locale: the same, before `LC_CTYPE` and `LANG`.";
    LC_CTYPE =
        "Locale: the same, before `LANG`.";
    MLBUILD_ATTEMPT =
        "Set by `mlbuild submit --slurm` inside the container: how often the run was begun, from 1.";
    MLBUILD_CONTAINER =
        "Name of the container that `mlbuild env` runs in, where the kubelet's mounts don't tell it.";
    MLBUILD_GUI_KEEPER =
        "Set by `mlbuild gui-run --detach` for the process that it leaves behind to take the cookie away.";
    MLBUILD_IMAGE =
        "Set by `mlbuild run` and `mlbuild submit` inside the container: the pinned image.";
    MLBUILD_POD_NAME =
        "Name of the pod that `mlbuild env` runs in, by downward API (default: `HOSTNAME`).";
    MLBUILD_POD_NAMESPACE =
        "Namespace of that pod, by downward API (default: the service account's).";
    MLBUILD_QUEUE_STORE =
        "Where queues and jobs are kept: a file, or `postgres://…` (default: `queue.db` in the folder for caches).";
    MLBUILD_RUN_ID =
        "Set by `mlbuild run` and `mlbuild submit` inside the container: the run id.";
    MLBUILD_STALL_SECONDS =
        "Seconds without progress after which mlbuild gives a peer up: a builder, a registry, Docker, a cluster, a database, git, a credential helper (default: 60; 0 waits for ever).";
    MLBUILD_STATE_DIR =
        "Folder for caches and the private builder (default: `$XDG_STATE_HOME/mlbuild`, else `~/.local/state/mlbuild`).";
    MLFLOW_EXPERIMENT_ID =
        "Experiment of the runs that `mlbuild runs list --from mlflow` lists, by id.";
    MLFLOW_EXPERIMENT_NAME =
        "The same by name, which goes first. With neither, runs of all experiments are listed.";
    MLFLOW_TRACKING_AUTH =
        "Another way to log in to MLflow's server, which mlbuild doesn't have: it says so.";
    MLFLOW_TRACKING_AWS_SIGV4 =
        "Another way to log in to MLflow's server, which mlbuild doesn't have: it says so where it is true.";
    MLFLOW_TRACKING_CLIENT_CERT_PATH =
        "Client certificate for MLflow's server, which mlbuild doesn't send: it says so.";
    MLFLOW_TRACKING_INSECURE_TLS =
        "True: no certificate of MLflow's server is checked. mlbuild checks it, and says so.";
    MLFLOW_TRACKING_PASSWORD =
        "Password for MLflow's server, where it goes with a user name.";
    MLFLOW_TRACKING_SERVER_CERT_PATH =
        "CA bundle of MLflow's server, which mlbuild doesn't read: it says so. `SSL_CERT_FILE` is read.";
    MLFLOW_TRACKING_TOKEN =
        "Token for MLflow's server, where there is no name with a password.";
    MLFLOW_TRACKING_URI =
        "Where MLflow's runs are: `https://HOST`, or `sqlite:///FILE` (default: `mlflow.db` of the project).";
    MLFLOW_TRACKING_USERNAME =
        "User name for MLflow's server (default: that of `~/.mlflow/credentials`).";
    MLFLOW_WORKSPACE =
        "Workspace of MLflow's server, which mlbuild doesn't ask for: it says so.";
    NETRC =
        "File of log-ins (default: `~/.netrc`) that `mlbuild run` and `mlbuild restore` take the tracker's key from where `WANDB_API_KEY` is not set.";
    NO_COLOR =
        "Switches colours off where it is set to anything but the empty string.";
    NO_PROXY =
        "Hosts that are reached without a proxy, by mlbuild and by RUN steps.";
    PATH =
        "Folders of programs that mlbuild starts: container runtimes, credential helpers, git, cosign, mmdebstrap.";
    PGPASSWORD =
        "Password of the store in PostgreSQL, where its address holds none.";
    PIP_CERT =
        "CA bundle of the host, where `SSL_CERT_FILE` names none.";
    PIP_CONFIG_FILE =
        "pip's configuration file: its package indexes are passed to RUN steps as a secret.";
    PIP_DEFAULT_TIMEOUT =
        "pip's timeout in seconds, passed to RUN steps with the indexes.";
    PIP_EXTRA_INDEX_URL =
        "Further package indexes of pip, passed to RUN steps as a secret.";
    PIP_INDEX_URL =
        "Package index of pip, passed to RUN steps as a secret.";
    PIP_TIMEOUT =
        "The same as `PIP_DEFAULT_TIMEOUT`, which wins.";
    PIP_TRUSTED_HOST =
        "Hosts whose certificates pip doesn't check, passed to RUN steps with the indexes.";
    PULSE_SERVER =
        "Socket of the sound server for `--audio` (default: in `XDG_RUNTIME_DIR`).";
    REGISTRY_AUTH_FILE =
        "Podman's registry credentials (default: its `auth.json`), used where Docker's hold none.";
    REQUESTS_CA_BUNDLE =
        "CA bundle of the host, where neither `SSL_CERT_FILE` nor `PIP_CERT` names one.";
    SHELL =
        "Shell that `mlbuild restore` opens at a terminal (default: `/bin/sh`).";
    SOURCE_DATE_EPOCH =
        "Seconds since 1970-01-01 that the times in an image are held to.";
    SSH_AUTH_SOCK =
        "Socket of the ssh agent for `--ssh default`.";
    SSL_CERT_FILE =
        "CA bundle of the host: used for registries, and passed to RUN steps as a secret.";
    TERM =
        "Kind of terminal: `dumb` gets plain progress.";
    TMPDIR =
        "Folder for temporary files (default: `/tmp`).";
    USER =
        "Login name, for accounts that are made inside containers.";
    UV_DEFAULT_INDEX =
        "Package index of uv, passed to RUN steps as a secret.";
    UV_EXTRA_INDEX_URL =
        "Further package indexes of uv, passed to RUN steps as a secret.";
    UV_INDEX =
        "The same, in uv's newer form.";
    UV_INDEX_URL =
        "Package index of uv, where `UV_DEFAULT_INDEX` is not set.";
    WANDB_API_KEY =
        "Key of the experiment tracker: `mlbuild run` hands it to the container, and `mlbuild restore` asks the tracker's server with it.";
    WANDB_BASE_URL =
        "Address of the experiment tracker's own server: its host's entry in netrc holds the key.";
    WANDB_CONFIG_DIR =
        "Folder of the experiment tracker's `settings` (default: `~/.config/wandb`), which may name the server of a run that is restored.";
    WANDB_DIR =
        "Folder with the `wandb/settings` of a project (default: the project's).";
    WANDB_DOCKER =
        "Set by `mlbuild run` and `mlbuild submit` inside the container: the pinned image, where the experiment tracker looks for it.";
    WANDB_ENTITY =
        "User or team of a run that is restored, where its name has none.";
    WANDB_IDENTITY_TOKEN_FILE =
        "Another way to log in to the experiment tracker's server, which `mlbuild restore` doesn't have: it says so.";
    WANDB_PROJECT =
        "Project of a run that is restored, where its name has none.";
    WANDB_RUN_ID =
        "Run id of an image or a run, where `--run-id` is not given.";
    WAYLAND_DISPLAY =
        "The Wayland socket for `mlbuild gui-run --wayland`, in `XDG_RUNTIME_DIR` or by path.";
    XAUTHORITY =
        "File with the cookie of the X11 display (default: `~/.Xauthority`).";
    XDG_CONFIG_DIRS =
        "Folders of pip's configuration for all users (default: `/etc/xdg`).";
    XDG_CONFIG_HOME =
        "Folder of your own configuration, `mlbuild/config.toml`, and of pip's (default: `~/.config`).";
    XDG_RUNTIME_DIR =
        "Folder of the session: its sockets, and the private folder of a `mlbuild gui-run` (default: `/tmp`).";
    XDG_STATE_HOME =
        "Folder that holds `mlbuild/`, for caches and the private builder, where `MLBUILD_STATE_DIR` is not set.";
    ZDOTDIR =
        "Folder of zsh's configuration, which the shell of `mlbuild restore` reads before its own.";
}

/// The folder for caches and the private builder.
///
/// `$XDG_CONFIG_HOME/mlbuild`, else `~/.config/mlbuild`; `None` where there is no home folder.
pub fn config_dir() -> Option<std::path::PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(folder) = set(XDG_CONFIG_HOME) {
        return Some(std::path::Path::new(&folder).join("mlbuild"));
    }
    Some(std::path::Path::new(&set(HOME)?).join(".config/mlbuild"))
}

static CACHES: std::sync::OnceLock<std::path::PathBuf> = std::sync::OnceLock::new();

/// Has caches kept in a folder of this process, since the usual one can't be written to.
pub(crate) fn keep_caches_in(folder: std::path::PathBuf) {
    let _ = CACHES.set(folder);
}

/// The folder for what may be lost at any time: [`state_dir`], or the one that this process has in its
/// place.
pub fn cache_dir() -> Option<std::path::PathBuf> {
    let Some(folder) = CACHES.get() else {
        return state_dir();
    };
    IS_MISSED.store(true, std::sync::atomic::Ordering::Relaxed);
    Some(folder.clone())
}

static IS_MISSED: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

/// Whether something asked for the usual folder for caches, which can't be written to.
pub fn misses_caches() -> bool {
    IS_MISSED.load(std::sync::atomic::Ordering::Relaxed)
}

/// `MLBUILD_STATE_DIR`, else `$XDG_STATE_HOME/mlbuild`, else
/// `~/.local/state/mlbuild`; `None` where there is no home folder either.
pub fn state_dir() -> Option<std::path::PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(folder) = set(MLBUILD_STATE_DIR) {
        return Some(folder.into());
    }
    if let Some(folder) = set(XDG_STATE_HOME) {
        return Some(std::path::Path::new(&folder).join("mlbuild"));
    }
    Some(std::path::Path::new(&set(HOME)?).join(".local/state/mlbuild"))
}
