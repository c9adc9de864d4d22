# An ML image from mlbuild's `cuda` template. It also builds without mlbuild:
#
#   docker build -t my-image .

ARG BASE_IMAGE=nvidia/cuda:11.8.0-cudnn8-runtime-ubuntu22.04
FROM ${BASE_IMAGE}
USER root

# Packages of the distribution.
ARG APT_PACKAGES=""
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt/lists,sharing=locked \
    set -eu; \
    packages="$APT_PACKAGES"; \
    # Python comes with the base or, where it has none, from its distribution.
    python3 -c 'import ensurepip, venv' >/dev/null 2>&1 || packages="$packages python3 python3-venv"; \
    if [ -z "$packages" ]; then exit 0; fi; \
    if ! command -v apt-get >/dev/null; then \
      echo "mlbuild: this base has no apt-get to install $packages: choose a Debian or Ubuntu base" >&2; exit 1; \
    fi; \
    rm -f /etc/apt/apt.conf.d/docker-clean; \
    export DEBIAN_FRONTEND=noninteractive; \
    apt-get update -q; \
    apt-get install -q -y --no-install-recommends $packages; \
    rm -f /var/log/apt/* /var/log/dpkg.log /var/log/alternatives.log /var/cache/ldconfig/aux-cache

# Python packages, in a virtual environment that any user can read.
RUN --mount=type=cache,id=mlbuild-python,target=/root/.cache \
    set -eu; \
    umask 022; \
    export HOME=/root PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PYTHONDONTWRITEBYTECODE=1; \
    found=$(python3 -c 'import platform; print(platform.python_version())'); \
    case "$found." in 3.10.*) ;; *) \
      echo "mlbuild: Python 3.10 is asked for, but this base has $found: name another base or version" >&2; exit 1;; \
    esac; \
     python3 -m venv /opt/venv
ENV VIRTUAL_ENV=/opt/venv \
    PATH=/opt/venv/bin:${PATH}

# The environment of the container.
ENV NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    NVIDIA_VISIBLE_DEVICES=all \
    PYTHONUNBUFFERED=1

# The code. An edit of it runs nothing above this line again.
WORKDIR /app
COPY . /app/
