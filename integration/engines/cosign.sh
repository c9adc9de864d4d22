# cosign, for images that are signed. Its version and every module it is made of
# are pinned in cosign/go.{mod,sum}.
# shellcheck shell=bash

build_cosign() {
    local go
    go=$(go_tool)
    # Seventeen hundred packages: compiled for being compiled quickly, after the tests that run meanwhile.
    (cd "$ENGINES_SRC/cosign" && CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS=-mod=readonly GOGC=400 \
        nice "$go" build -trimpath -gcflags 'all=-N -l -dwarf=false' -ldflags '-s -w' -o "$BIN/cosign" \
        github.com/sigstore/cosign/v3/cmd/cosign) \
        > "$STATE/log/build-cosign.log" 2>&1 ||
        { tail -n 20 "$STATE/log/build-cosign.log" >&2; die "could not build cosign"; }
}
