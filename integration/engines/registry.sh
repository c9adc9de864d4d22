# Registries (Distribution 2.8) on loopback: anonymous, with a password, and
# behind a token server.
# shellcheck shell=bash

fetch_registry() {
    extract bookworm registry docker-registry
    ln -sfn "$STATE/deb/registry/usr/bin/docker-registry" "$BIN/docker-registry"
}

# A registry of the newest specification (with referrers, and uploads that resume
# anywhere), pinned in olareg/go.{mod,sum}. Tests start their own.
build_olareg() {
    local go
    go=$(go_tool)
    (cd "$ENGINES_SRC/olareg" && CGO_ENABLED=0 GOBIN=$BIN GOTOOLCHAIN=local GOFLAGS=-mod=readonly \
        "$go" install -trimpath -ldflags '-s -w' github.com/olareg/olareg/cmd/olareg) \
        > "$STATE/log/build-olareg.log" 2>&1 ||
        { tail -n 20 "$STATE/log/build-olareg.log" >&2; die "could not build olareg"; }
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

token_server_answers() { curl -fsS --max-time 5 -o /dev/null "http://127.0.0.1:$(port_of token-server)/token"; }

registry_token_up() {
    local dir=$STATE/registry-token
    [ -e "$dir/cert.pem" ] || {
        mkdir -p "$dir"
        openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj '/CN=mlbuild test tokens' \
            -keyout "$dir/key.pem" -out "$dir/cert.pem" 2> "$STATE/log/token-cert.log"
    }
    TOKEN_PASSWORD=$REGISTRY_PASSWORD start token-server python3 "$ENGINES_SRC/token-server.py" \
        "$(port_of token-server)" "$dir/key.pem" "$dir/cert.pem" "$REGISTRY_USER"
    wait_for token-server 20 token_server_answers
    registry_config registry-token << YAML
auth:
  token:
    realm: http://127.0.0.1:$(port_of token-server)/token
    service: mlbuild-test
    issuer: mlbuild-test
    rootcertbundle: $dir/cert.pem
YAML
    registry_start registry-token
}

registry_down() {
    stop "$1"
    rm -rf "${STATE:?}/$1"
}
