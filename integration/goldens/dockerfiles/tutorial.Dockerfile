# An ML image from mlbuild's `python` template. It also builds without mlbuild:
#
#   docker build --build-arg USER_UID=$(id -u) --build-arg USER_GID=$(id -g) -t my-image .

ARG BASE_IMAGE=nvcr.io/nvidia/tensorflow:21.02-tf2-py3
FROM ${BASE_IMAGE}
USER root

# Packages of the distribution.
ARG APT_PACKAGES=""
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt/lists,sharing=locked \
    set -eu; \
    packages="$APT_PACKAGES"; \
    # Python comes with the base or, where it has none, from its distribution.
    python3 -m pip --version >/dev/null 2>&1 || packages="$packages python3 python3-pip"; \
    if [ -z "$packages" ]; then exit 0; fi; \
    if ! command -v apt-get >/dev/null; then \
      echo "mlbuild: this base has no apt-get to install $packages: choose a Debian or Ubuntu base" >&2; exit 1; \
    fi; \
    rm -f /etc/apt/apt.conf.d/docker-clean; \
    export DEBIAN_FRONTEND=noninteractive; \
    apt-get update -q; \
    apt-get install -q -y --no-install-recommends $packages; \
    rm -f /var/log/apt/* /var/log/dpkg.log /var/log/alternatives.log /var/cache/ldconfig/aux-cache

# Python packages, beside those that the base's own Python holds.
COPY requirements-dev.txt requirements.txt /opt/mlbuild/
RUN --mount=type=cache,id=mlbuild-python,target=/root/.cache \
    set -eu; \
    umask 022; \
    export HOME=/root PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PYTHONDONTWRITEBYTECODE=1; \
    export PIP_BREAK_SYSTEM_PACKAGES=1; \
    python3 -m pip install -q --no-compile -r /opt/mlbuild/requirements.txt -r /opt/mlbuild/requirements-dev.txt

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
    site=$(python3 -c 'import sysconfig; print(sysconfig.get_path("platlib"))'); \
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

# The user: one small last layer with all that belongs to these ids.
ARG USERNAME=vorph
ARG USER_UID=1000
ARG USER_GID=1000
RUN set -eu; \
    umask 022; \
    case "$USERNAME" in ''|[!A-Za-z_]*|*[!A-Za-z0-9_.-]*) \
      echo "mlbuild: USERNAME='$USERNAME' isn't a user name" >&2; exit 1;; \
    esac; \
    for id in "$USER_UID" "$USER_GID"; do \
      case "$id" in ''|*[!0-9]*) echo "mlbuild: USER_UID and USER_GID must be whole numbers, not '$id'" >&2; exit 1;; esac; \
    done; \
    home=/home/$USERNAME; shell=/bin/sh; \
    if [ -x /bin/bash ]; then shell=/bin/bash; fi; \
    [ -s /etc/passwd ] || echo root:x:0:0:root:/root:/bin/sh > /etc/passwd; \
    [ -s /etc/group ] || echo root:x:0: > /etc/group; \
    # put FILE LINE ID: below root's line (for id 0: above it), so that a look-up by id finds it first.
    put() { \
      awk -F: -v name="$USERNAME" -v line="$2" -v top="$(($3 == 0))" \
        'top == 1 { print line; top = 2 } $1 != name { print } top == 0 { print line; top = 2 }' "$1" > /tmp/put; \
      cat /tmp/put > "$1"; rm /tmp/put; \
    }; \
    if [ "$USERNAME" = root ]; then \
      home=/root; \
      if [ "$USER_UID" != 0 ]; then echo "mlbuild: root is always uid 0, not $USER_UID" >&2; exit 1; fi; \
    else \
      put /etc/passwd "$USERNAME:x:$USER_UID:$USER_GID::$home:$shell" "$USER_UID"; \
      put /etc/group "$USERNAME:x:$USER_GID:" "$USER_GID"; \
      if [ -s /etc/shadow ]; then put /etc/shadow "$USERNAME:*::0:99999:7:::" 1; fi; \
    fi; \
    if [ ! -d "$home" ]; then \
      mkdir -p "$home"; if [ -d /etc/skel ]; then cp -R /etc/skel/. "$home"; fi; \
    fi; \
    chown -R "$USER_UID:$USER_GID" "$home"; \
    chown "$USER_UID:$USER_GID" /app
ENV PATH=${PATH}:/home/${USERNAME}/.local/bin
USER ${USERNAME}

EXPOSE 5000 8001
