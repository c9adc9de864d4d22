# An ML image from mlbuild's `python` template. Locked: packages come from the files of
# `mlbuild-inputs` alone, and no step has a network.

ARG BASE_IMAGE=python:3.12-slim-bookworm
FROM ${BASE_IMAGE}
USER root
ARG SOURCE_DATE_EPOCH

# Packages of the distribution: those that are pinned, and no others.
RUN --network=none \
    --mount=type=bind,from=mlbuild-inputs,source=apt,target=/mlbuild/apt \
    --mount=type=tmpfs,target=/tmp \
    --mount=type=tmpfs,target=/var/cache/apt \
    --mount=type=tmpfs,target=/var/cache/ldconfig \
    --mount=type=tmpfs,target=/var/lib/apt/lists \
    set -eu; \
    if [ ! -s /mlbuild/apt/requested ]; then exit 0; fi; \
    : > /tmp/started; \
    mkdir /tmp/repo; \
    count=0; \
    # A repository of these packages alone, so that apt installs them as it would from the archive.
    for deb in /mlbuild/apt/debs/*.deb; do \
      if [ ! -e "$deb" ]; then break; fi; \
      count=$((count + 1)); \
      ln -s "$deb" "/tmp/repo/$count.deb"; \
      dpkg-deb -f "$deb" >> /tmp/repo/Packages; \
      printf 'Filename: ./%s.deb\nSize: %s\nSHA256: %s\n\n' "$count" "$(stat -c %s "$deb")" "$(sha256sum "$deb" | cut -c1-64)" >> /tmp/repo/Packages; \
    done; \
    if [ $count = 0 ]; then exit 0; fi; \
    echo 'deb [trusted=yes] file:/tmp/repo ./' > /tmp/repo.list; \
    set -- -o Dir::Etc::sourcelist=/tmp/repo.list -o Dir::Etc::sourceparts=- -o APT::Sandbox::User=root -o Acquire::Languages=none; \
    export DEBIAN_FRONTEND=noninteractive; \
    apt-get "$@" update -qq; \
    apt-get "$@" install -q -y --no-install-recommends $(cat /mlbuild/apt/requested); \
    # What is made anew on every machine: logs, machine ids, host keys.
    find /var/log -type f -newer /tmp/started -delete; \
    for id in /etc/machine-id /var/lib/dbus/machine-id; do \
      if [ -f "$id" ] && [ ! -L "$id" ] && [ "$id" -nt /tmp/started ]; then : > "$id"; fi; \
    done; \
    for folder in /etc/ssh /etc/ssl; do \
      if [ -d "$folder" ]; then find "$folder" -newer /tmp/started '(' -name 'ssh_host_*' -o -name 'ssl-cert-snakeoil*' ')' -delete; fi; \
    done

# Python packages, in a virtual environment that any user can read.
COPY requirements.txt /opt/mlbuild/
RUN --network=none \
    --mount=type=bind,from=mlbuild-inputs,source=python,target=/mlbuild/python \
    --mount=type=tmpfs,target=/tmp \
    --mount=type=tmpfs,target=/root/.cache \
    set -eu; \
    umask 022; \
    export HOME=/root PYTHONHASHSEED=0 PYTHONDONTWRITEBYTECODE=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore; \
    export UV_OFFLINE=1 UV_NO_CONFIG=1 UV_LINK_MODE=copy UV_NO_INSTALLER_METADATA=1 UV_PYTHON_DOWNLOADS=never; \
    : > /tmp/started; \
    python3 -m zipfile -e /mlbuild/python/uv/*.whl /tmp/uv; \
    chmod 0755 /tmp/uv/*.data/scripts/uv; \
    bundled=$(python3 -c 'import ensurepip, sysconfig; print(sysconfig.get_config_var("WHEEL_PKG_DIR") or ensurepip.__path__[0] + "/_bundled")'); \
    [ -d "$bundled" ] || bundled=/usr/share/python-wheels; \
    python3 -m venv --without-pip /opt/venv; \
    /tmp/uv/*.data/scripts/uv pip install -q --python /opt/venv/bin/python --no-config --no-index --no-deps --find-links "$bundled" pip 'setuptools; python_version < "3.12"'; \
    # A distribution's pip can be in pieces, which only ensurepip puts together.
    PYTHONDONTWRITEBYTECODE=1 /opt/venv/bin/python -m pip --version >/dev/null 2>&1 || { rm -rf /opt/venv; python3 -m venv /opt/venv; }; \
    if [ -s /mlbuild/python/requirements.txt ]; then \
      /tmp/uv/*.data/scripts/uv pip install -q --python /opt/venv/bin/python --no-index --no-deps --find-links /mlbuild/python/wheels --require-hashes -r /mlbuild/python/requirements.txt; \
    fi; \
    find /opt/venv -depth -name __pycache__ -type d -exec rm -r {} +; \
    /opt/venv/bin/python -m compileall -qq -j1 -x /site-packages/pip/ --invalidation-mode unchecked-hash /opt/venv/lib || true
ENV VIRTUAL_ENV=/opt/venv \
    PATH=/opt/venv/bin:${PATH}

# The environment of the container.
ENV PYTHONUNBUFFERED=1

# The code. An edit of it runs nothing above this line again.
WORKDIR /app
COPY . /app/

# The user: one small last layer with all that belongs to these ids.
ARG USERNAME=ml
ARG USER_UID=1000
ARG USER_GID=1000
RUN --network=none \
    set -eu; \
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
