# A judge of layers that can be pulled lazily: the readers of containerd's stargz snapshotter, and of Podman's
# and CRI-O's storage. Every module is pinned in lazy/go.{mod,sum}.
# shellcheck shell=bash

build_lazy() {
    local go
    go=$(go_tool)
    (cd "$ENGINES_SRC/lazy" && CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS=-mod=readonly GOGC=400 \
        nice "$go" build -trimpath -tags exclude_graphdriver_btrfs -gcflags 'all=-N -l -dwarf=false' \
        -ldflags '-s -w' -o "$BIN/lazy-judge" .) \
        > "$STATE/log/build-lazy.log" 2>&1 ||
        { tail -n 20 "$STATE/log/build-lazy.log" >&2; die "could not build the judge of lazy layers"; }
}
