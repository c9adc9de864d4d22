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
    export HOME=/root PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore; \
    found=$(python3 -c 'import platform; print(platform.python_version())'); \
    case "$found." in 3.10.*) ;; *) \
      echo "mlbuild: Python 3.10 is asked for, but this base has $found: name another base or version" >&2; exit 1;; \
    esac; \
    bundled=$(python3 -c 'import ensurepip, sysconfig; print(sysconfig.get_config_var("WHEEL_PKG_DIR") or ensurepip.__path__[0] + "/_bundled")'); \
    [ -d "$bundled" ] || bundled=/usr/share/python-wheels; \
    export UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never UV_NO_INSTALLER_METADATA=1 UV_HTTP_RETRIES=8; \
    trap 'rm -rf /tmp/uv' EXIT; \
    uv=$(command -v uv || echo /tmp/uv/bin/uv); kept=/root/.cache/mlbuild/uv-0.13.9-$(uname -m); \
    # The builder's cache keeps it for other builds.
    [ -x "$uv" ] || { mkdir -p /tmp/uv/bin; cp "$kept" "$uv"; "$uv" --version; } >/dev/null 2>&1 || { \
      rm -rf /tmp/uv; PYTHONPATH=$(ls "$bundled"/pip-*.whl | tail -n 1) python3 -m pip install -q --target /tmp/uv uv==0.13.9; \
      mkdir -p /root/.cache/mlbuild; new=$(mktemp /root/.cache/mlbuild/uv.XXXXXX); \
      cp "$uv" "$new"; chmod 0755 "$new"; mv "$new" "$kept"; \
    }; \
    python3 -m venv --without-pip /opt/venv; \
    "$uv" pip install -q --python /opt/venv/bin/python --no-config --no-index --no-deps --find-links "$bundled" pip 'setuptools; python_version < "3.12"'; \
    # A distribution's pip can be in pieces, which only ensurepip puts together.
    PYTHONDONTWRITEBYTECODE=1 /opt/venv/bin/python -m pip --version >/dev/null 2>&1 || { rm -rf /opt/venv; python3 -m venv /opt/venv; }; \
    PYTHONHASHSEED=0 /opt/venv/bin/python -m compileall -qq -j0 --invalidation-mode unchecked-hash /opt/venv/lib || true
ENV VIRTUAL_ENV=/opt/venv \
    PATH=/opt/venv/bin:${PATH}

# The environment of the container.
ENV NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    NVIDIA_VISIBLE_DEVICES=all \
    PYTHONUNBUFFERED=1

# The code. An edit of it runs nothing above this line again.
WORKDIR /app
COPY . /app/
