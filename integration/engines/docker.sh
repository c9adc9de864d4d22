# Three Dockers, each with its own data-root, socket and bridge:
#   containerd  trixie's Docker, containerd image store
#   classic     the same programs, the older graphdriver store
#   docker20    Debian 12's Docker 20.10
# shellcheck shell=bash

fetch_docker() { extract trixie docker docker.io docker-cli docker-buildx containerd; }
fetch_docker20() { extract bookworm docker20 docker.io containerd runc; }
# What `docker run --init` starts; their links to it lead nowhere without it.
fetch_init() { extract bookworm init tini; }

# One folder on PATH for people and tests: clients, and runc for the daemons.
link_clients() {
    ln -sfn "$STATE/deb/docker/usr/bin/docker" "$BIN/docker"
    ln -sfn "$STATE/deb/docker/usr/libexec/docker/cli-plugins/docker-buildx" "$BIN/docker-buildx"
    ln -sfn "$STATE/deb/docker20/usr/sbin/runc" "$BIN/runc"
    ln -sfn "$STATE/deb/init/usr/bin/tini-static" "$BIN/docker-init"
    ln -sfn "$(command -v skopeo)" "$BIN/skopeo"
    # `docker buildx` finds its plugin through a configuration folder of ours.
    mkdir -p "$STATE/docker-config/cli-plugins"
    ln -sfn "$STATE/deb/docker/usr/libexec/docker/cli-plugins/docker-buildx" \
        "$STATE/docker-config/cli-plugins/docker-buildx"
    [ -e "$STATE/docker-config/config.json" ] || echo '{}' > "$STATE/docker-config/config.json"
}

docker_socket() { printf '%s/%s.sock' "$RUN" "$1"; }

docker_answers() { curl -fsS --max-time 5 --unix-socket "$(docker_socket "$1")" http://docker/_ping; }

# docker_up NAME NUMBER PROGRAMS CONTAINERD_STORE(true|false)
docker_up() {
    local name=$1 root=$STATE/$1 deb=$STATE/deb/$3 net key=''
    # 20.10 would keep a key in /etc/docker; later ones don't know the setting.
    if [ "$name" = docker20 ]; then key='"deprecated-key-path": "'$root/key.json'",'; fi
    if ! running "$name"; then
        bridge_up "$2"
        net=$(cat "$STATE/net-$(bridge_name "$2")")
        mkdir -p "$root"
        cat > "$root/daemon.json" << JSON
{
  "data-root": "$root/data",
  "exec-root": "$RUN/$name",
  "pidfile": "$RUN/$name.pid",
  "hosts": ["unix://$(docker_socket "$name")"],
  $key
  "bridge": "$(bridge_name "$2")",
  "fixed-cidr": "$net.0/24",
  "mtu": $(uplink_mtu),
  "dns": ["$net.1"],
  "iptables": false,
  "userland-proxy-path": "$deb/usr/sbin/docker-proxy",
  "features": { "containerd-snapshotter": $4, "buildkit": true },
  "builder": { "gc": { "enabled": true, "defaultKeepStorage": "8GB" } }
}
JSON
        rm -f "$RUN/$name.pid"
        PATH=$deb/usr/bin:$deb/usr/sbin:$BIN:$PATH \
            start "$name" "$deb/usr/sbin/dockerd" --config-file "$root/daemon.json"
    fi
    wait_for "$name" 60 docker_answers "$name"
}

docker_down() {
    stop "$1"
    # Snapshots, and namespaces of networks.
    unmount_below "$STATE/$1" "$RUN/$1"
    bridge_down "$2"
    rm -rf "${STATE:?}/$1"
}
