# Registries (Distribution 2.8) on loopback: anonymous, with a password, and
# behind a token server.
# shellcheck shell=bash

fetch_registry() {
    extract bookworm registry docker-registry
    ln -sfn "$STATE/deb/registry/usr/bin/docker-registry" "$BIN/docker-registry"
}

REGISTRY_USER=mluser
REGISTRY_PASSWORD=ml-pass-123

# registry_config NAME: the common part; the rest of stdin is appended.
registry_config() {
    mkdir -p "$STATE/$1"
    {
        cat << YAML
version: 0.1
log: { level: warn, accesslog: { disabled: true } }
storage:
  filesystem: { rootdirectory: $STATE/$1/data }
  delete: { enabled: true }
http: { addr: "127.0.0.1:$(port_of "$1")" }
YAML
        cat
    } > "$STATE/$1/config.yml"
}

registry_answers() { curl -sS --max-time 5 -o /dev/null "http://127.0.0.1:$(port_of "$1")/v2/"; }

registry_start() {
    start "$1" "$STATE/deb/registry/usr/bin/docker-registry" serve "$STATE/$1/config.yml"
    wait_for "$1" 20 registry_answers "$1"
}

registry_up() {
    registry_config registry < /dev/null
    registry_start registry
}

registry_auth_up() {
    [ -e "$STATE/registry-auth/htpasswd" ] || {
        mkdir -p "$STATE/registry-auth"
        htpasswd -Bbn "$REGISTRY_USER" "$REGISTRY_PASSWORD" > "$STATE/registry-auth/htpasswd"
    }
    registry_config registry-auth << YAML
auth: { htpasswd: { realm: mlbuild-test, path: $STATE/registry-auth/htpasswd } }
YAML
    registry_start registry-auth
}

registry_down() {
    stop "$1"
    rm -rf "${STATE:?}/$1"
}
