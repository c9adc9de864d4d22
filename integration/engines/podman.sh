# Debian 12's Podman, run as root with its own store, and the devcontainer CLI. Neither has a daemon.
# shellcheck shell=bash

DEVCONTAINERS_CLI=0.89.0

fetch_podman() {
    extract bookworm podman podman conmon netavark aardvark-dns golang-github-containers-common \
        libgpgme11 libassuan0 libgpg-error0 libsubid4 libyajl2 libip4tc2
}

# A folder with `podman` in it: not on everybody's PATH, where it would be found beside Docker.
podman_bin() { printf '%s/podman/bin' "$STATE"; }

podman_up() {
    local root=$STATE/podman deb=$STATE/deb/podman
    mkdir -p "$root/bin"
    # No limits are raised above the machine's own, and no rules of iptables are made. What conmon starts at a
    # container's end needs our folders too: without them Podman waits 20 s for it.
    cat > "$root/containers.conf" << CONF
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
conmon_path = ["$deb/usr/bin/conmon"]
helper_binaries_dir = ["$deb/usr/lib/podman"]
conmon_env_vars = ["LD_LIBRARY_PATH=$deb/usr/lib/x86_64-linux-gnu", "CONTAINERS_CONF=$root/containers.conf", "CONTAINERS_STORAGE_CONF=$root/storage.conf"]
[engine.runtimes]
runc = ["$BIN/runc"]
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
netns = "none"
seccomp_profile = "$deb/usr/share/containers/seccomp.json"
CONF
    cat > "$root/storage.conf" << CONF
[storage]
driver = "overlay"
graphroot = "$root/data"
runroot = "$RUN/podman"
CONF
    cat > "$root/registries.conf" << CONF
[[registry]]
location = "127.0.0.1:$(port_of registry)"
insecure = true
CONF
    cat > "$root/bin/podman" << WRAPPER
#!/bin/sh
export LD_LIBRARY_PATH='$deb/usr/lib/x86_64-linux-gnu' CONTAINERS_CONF='$root/containers.conf'
export CONTAINERS_STORAGE_CONF='$root/storage.conf' CONTAINERS_REGISTRIES_CONF='$root/registries.conf'
exec '$deb/usr/bin/podman' "\$@"
WRAPPER
    chmod +x "$root/bin/podman"
}

podman_down() {
    unmount_below "$STATE/podman"
    rm -rf "${STATE:?}/podman"
}

fetch_devcontainer() {
    local folder=$STATE/devcontainer log=$STATE/log/devcontainer.log
    if ! command -v npm > /dev/null; then
        say "installing npm"
        DEBIAN_FRONTEND=noninteractive apt-get install -o DPkg::Lock::Timeout=600 -y -q --no-install-recommends nodejs npm > "$log" 2>&1 ||
            { tail -n 20 "$log" >&2; die "apt-get install npm failed"; }
    fi
    rm -rf "$folder"
    mkdir -p "$folder"
    npm install --prefix "$folder" --no-audit --no-fund --ignore-scripts "@devcontainers/cli@$DEVCONTAINERS_CLI" > "$log" 2>&1 ||
        { tail -n 20 "$log" >&2; die "could not fetch the devcontainer CLI"; }
}
