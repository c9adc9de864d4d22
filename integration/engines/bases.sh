# Base images of the tests, made from Debian packages, in the anonymous registry:
#   debian:bookworm          minbase and the CA bundle
#   python:3.11-slim         that, Python 3.11, venv and pip
#   ubuntu-like:24.04        debian with a user `ubuntu`, uid and gid 1000
#   python:3.11-platforms    an index: python:3.11-slim, and the same packages for arm64
# shellcheck shell=bash

base_ref() { printf '127.0.0.1:%s/%s' "$(port_of registry)" "$1"; }

# The Docker that makes them.
on_docker() {
    DOCKER_CONFIG=$STATE/docker-config "$BIN/docker" -H "unix://$(docker_socket containerd)" "$@"
}

make_rootfs() {
    mmdebstrap --quiet --variant=minbase --include=ca-certificates bookworm "$STATE/debian.tar" "$(debian_mirror)" \
        > "$STATE/log/mmdebstrap.log" 2>&1 || { tail -n 20 "$STATE/log/mmdebstrap.log" >&2; die "mmdebstrap failed"; }
}

push_base() {
    on_docker push -q "$1" > /dev/null
}

make_debian_base() {
    on_docker import -c 'CMD ["bash"]' -c 'ENV LANG=C.UTF-8' "$STATE/debian.tar" "$(base_ref debian:bookworm)" > /dev/null
    push_base "$(base_ref debian:bookworm)"
}

# build_base NAME FLAG...: the Dockerfile comes on stdin.
build_base() {
    local ref log
    ref=$(base_ref "$1")
    log=$STATE/log/base-${1%%:*}.log
    shift
    on_docker build --progress=plain --provenance=false "$@" -t "$ref" - > "$log" 2>&1 ||
        { tail -n 60 "$log" >&2; die "could not build the base image $ref"; }
    push_base "$ref"
}

make_python_base() {
    build_base python:3.11-slim --build-arg "BASE=$(base_ref debian:bookworm)" < "$ENGINES_SRC/python-base.Dockerfile"
}

# Runs single programs of arm64, without the kernel's help.
fetch_qemu() {
    extract bookworm qemu qemu-user-static
    find "$STATE/deb/qemu" -type f ! -name qemu-aarch64-static -delete
}

# Nothing of the other machine's is run for it: its packages are unpacked, and then listed as dpkg would.
make_platforms_base() {
    local root=$STATE/arm64 arm64 deb
    rm -rf "$root"
    mmdebstrap --quiet --variant=extract --architectures=arm64 --skip=cleanup/apt \
        --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr \
        --include=apt,base-files,base-passwd,bash,ca-certificates,coreutils,dash,libc-bin,python3,python3-venv,python3-pip \
        bookworm "$root" "$(debian_mirror)" > "$STATE/log/mmdebstrap-arm64.log" 2>&1 ||
        { tail -n 20 "$STATE/log/mmdebstrap-arm64.log" >&2; die "mmdebstrap failed for arm64"; }
    for deb in "$root"/var/cache/apt/archives/*.deb; do
        dpkg-deb -f "$deb"
        printf 'Status: install ok installed\n\n'
    done > "$root/var/lib/dpkg/status"
    rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "${root:?}"/dev/*
    mkdir -p "$root/usr/local/bin"
    ln -s /usr/bin/python3 "$root/usr/local/bin/python3"
    ln -s /usr/bin/python3 "$root/usr/local/bin/python"
    arm64=$(base_ref python:3.11-arm64)
    tar -C "$root" --sort=name -c . | on_docker import --platform linux/arm64 \
        -c 'CMD ["python3"]' -c 'ENV LANG=C.UTF-8 PYTHON_VERSION=3.11.2' - "$arm64" > /dev/null
    rm -rf "$root"
    push_base "$arm64"
    on_docker buildx imagetools create -t "$(base_ref python:3.11-platforms)" "$(base_ref python:3.11-slim)" "$arm64" \
        > "$STATE/log/base-platforms.log" 2>&1 || { cat "$STATE/log/base-platforms.log" >&2; die "no index of bases"; }
}

make_ubuntu_base() {
    build_base ubuntu-like:24.04 << DOCKERFILE
FROM $(base_ref debian:bookworm)
RUN groupadd -g 1000 ubuntu && useradd -m -u 1000 -g 1000 -s /bin/bash ubuntu
DOCKERFILE
}
