# An ML image from mlbuild's `pytorch` template. It also builds without mlbuild:
#
#   docker build -t my-image .

ARG BASE_IMAGE=python:3.12-slim-bookworm
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
    bundled=$(python3 -c 'import ensurepip, sysconfig; print(sysconfig.get_config_var("WHEEL_PKG_DIR") or ensurepip.__path__[0] + "/_bundled")'); \
    [ -d "$bundled" ] || bundled=/usr/share/python-wheels; \
    export UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never UV_NO_INSTALLER_METADATA=1 UV_HTTP_RETRIES=8; \
    trap 'rm -rf /tmp/uv' EXIT; \
    uv=$(command -v uv || echo /tmp/uv/bin/uv); kept=/root/.cache/mlbuild/uv-0.13.9-$(uname -m); \
    # The builder's cache keeps it for other builds. One of them writes at a time, and to one name, so that
    # what is left of a build that was killed is written over.
    [ -x "$uv" ] || { mkdir -p /tmp/uv/bin; cp "$kept" "$uv"; "$uv" --version; } >/dev/null 2>&1 || { \
      rm -rf /tmp/uv; PYTHONPATH=$(ls "$bundled"/pip-*.whl | tail -n 1) python3 -m pip install -q --target /tmp/uv uv==0.13.9; \
      new=/root/.cache/mlbuild/uv.new; mkdir -p /root/.cache/mlbuild && { \
        command -v flock >/dev/null && flock -n 9 && { install -m 0755 "$uv" "$new" && mv "$new" "$kept" || rm -f "$new"; }; \
      } 9>/root/.cache/mlbuild/uv.lock || true; \
    }; \
    python3 -m venv --without-pip /opt/venv; \
    "$uv" pip install -q --python /opt/venv/bin/python --no-config --no-index --no-deps --find-links "$bundled" pip 'setuptools; python_version < "3.12"'; \
    # A distribution's pip can be in pieces, which only ensurepip puts together.
    PYTHONDONTWRITEBYTECODE=1 /opt/venv/bin/python -m pip --version >/dev/null 2>&1 || { rm -rf /opt/venv; python3 -m venv /opt/venv; }; \
    "$uv" pip install -q --python /opt/venv/bin/python torch; \
    PYTHONHASHSEED=0 /opt/venv/bin/python -m compileall -qq -j0 -x /site-packages/pip/ --invalidation-mode unchecked-hash /opt/venv/lib || true
ENV VIRTUAL_ENV=/opt/venv \
    PATH=/opt/venv/bin:${PATH}

# Libraries of the distribution that these packages look for.
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt/lists,sharing=locked \
    set -eu; \
    # lacking FOLDER: the libraries that files below it look for, and neither they nor the system are.
    # A GPU's driver is given to the container. Of Qt's plugins only the one for X windows counts.
    lacking() { \
      for library in $(find "$1" -type f -name '*.so*' ! -path '*/qml/*' '(' ! -path '*/plugins/*' -o -name 'libqxcb.so' ')' -exec ldd {} + 2>/dev/null | sed -nE 's/^[[:space:]]+([^ /]+) => not found.*/\1/p' | LC_ALL=C sort -u); do \
        case $library in libcuda.so.*|libnvidia-*|libnvcuvid.so.*) continue;; esac; \
        if [ -z "$(find "$1" -name "$library" -print -quit)" ]; then echo "$library"; fi; \
      done; \
    }; \
    # package_of LIBRARY: its package, named after it as Debian's policy (8.1) has it, but for GLib's and Brotli's.
    package_of() { \
      case $1 in \
        libglib-2.0.so.0|libgthread-2.0.so.0|libgobject-2.0.so.0|libgmodule-2.0.so.0|libgio-2.0.so.0) echo libglib2.0-0;; \
        libbrotli*.so.1) echo libbrotli1;; \
        *.so.[0-9]*) echo "$1" | sed -E 's/([0-9])\.so\./\1-/; s/\.so\.//; s/_/-/g' | tr A-Z a-z;; \
      esac; \
    }; \
    # update_lists OPTIONS: the archive's lists. What can't be had apt only warns of.
    update_lists() { \
      LC_ALL=C apt-get "$@" update -q > /tmp/mlbuild-update 2>&1 || { cat /tmp/mlbuild-update >&2; return 1; }; \
      cat /tmp/mlbuild-update >&2; \
    }; \
    # packages_of LIBRARIES OPTIONS: those that the archive has; what it lacks is said.
    packages_of() { \
      libraries=$1; shift; unknown=; \
      for library in $libraries; do \
        name=$(package_of "$library"); package=; \
        for candidate in $name ${name:+"${name}t64"}; do \
          if apt-cache "$@" show -- "$candidate" 2>/dev/null | grep -q "^Package: "; then package=$candidate; fi; \
        done; \
        if [ -n "$package" ]; then echo "$package"; else unknown="$unknown $library"; fi; \
      done; \
      if [ -n "$unknown" ] && grep -q '^W: Failed to fetch' /tmp/mlbuild-update; then \
        echo "mlbuild: not all of the package archive can be reached, and so nobody knows which packages have$unknown: try again when it can" >&2; return 1; \
      fi; \
      if [ -n "$unknown" ]; then echo "mlbuild: these may need --apt, since no package is named after them:$unknown" >&2; fi; \
    }; \
    site=$(/opt/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("platlib"))'); \
    libraries=$(lacking "$site"); \
    if [ -z "$libraries" ]; then exit 0; fi; \
    if ! command -v apt-get >/dev/null; then \
      echo "mlbuild: packages look for" $libraries"; this base has no apt-get to install them" >&2; exit 0; \
    fi; \
    export DEBIAN_FRONTEND=noninteractive; \
    rm -f /etc/apt/apt.conf.d/docker-clean; \
    update_lists; \
    packages=$(packages_of "$libraries"); \
    packages=$(echo "$packages" | LC_ALL=C sort -u); \
    rm -f /tmp/mlbuild-update; \
    if [ -z "$packages" ]; then exit 0; fi; \
    echo "mlbuild: installing" $packages "for" $libraries; \
    apt-get install -q -y --no-install-recommends $packages; \
    rm -f /var/log/apt/* /var/log/dpkg.log /var/log/alternatives.log /var/cache/ldconfig/aux-cache

# The environment of the container.
ENV NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    NVIDIA_VISIBLE_DEVICES=all \
    PYTHONUNBUFFERED=1

# The code. An edit of it runs nothing above this line again.
WORKDIR /app
COPY . /app/
