# An ML image from mlbuild's `python` template. It also builds without mlbuild:
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
     python3 -m venv /opt/venv
ENV VIRTUAL_ENV=/opt/venv \
    PATH=/opt/venv/bin:${PATH}

# The environment of the container.
ENV PYTHONUNBUFFERED=1

# The code. An edit of it runs nothing above this line again.
WORKDIR /app
COPY . /app/

# The user: one small last layer with all that belongs to these ids.
ARG USERNAME=root
ARG USER_UID=0
ARG USER_GID=0
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
ENV PATH=${PATH}:/root/.local/bin
USER ${USERNAME}
