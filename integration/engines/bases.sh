# Base images of the tests, made from Debian packages, in the anonymous registry:
#   debian:bookworm          minbase and the CA bundle
#   python:3.11-slim         that, Python 3.11, venv and pip
#   ubuntu-like:24.04        debian with a user `ubuntu`, uid and gid 1000
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

make_ubuntu_base() {
    build_base ubuntu-like:24.04 << DOCKERFILE
FROM $(base_ref debian:bookworm)
RUN groupadd -g 1000 ubuntu && useradd -m -u 1000 -g 1000 -s /bin/bash ubuntu
DOCKERFILE
}
