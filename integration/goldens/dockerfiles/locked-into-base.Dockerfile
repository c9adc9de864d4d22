# An ML image from mlbuild's `python` template. Locked: packages come from the files of
# `mlbuild-inputs` alone, and no step has a network.

ARG BASE_IMAGE=pytorch/pytorch:2.9.1-cuda12.8-cudnn9-runtime
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

# Python packages, beside those that the base's own Python holds.
RUN --network=none \
    --mount=type=bind,from=mlbuild-inputs,source=python,target=/mlbuild/python \
    --mount=type=tmpfs,target=/tmp \
    --mount=type=tmpfs,target=/root/.cache \
    set -eu; \
    umask 022; \
    export HOME=/root PYTHONHASHSEED=0 PYTHONDONTWRITEBYTECODE=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore; \
    export UV_OFFLINE=1 UV_NO_CONFIG=1 UV_LINK_MODE=copy UV_NO_INSTALLER_METADATA=1 UV_PYTHON_DOWNLOADS=never; \
    : > /tmp/started; \
    found=$(python3 -c 'import platform; print(platform.python_version())'); \
    case "$found." in 3.12.*) ;; *) \
      echo "mlbuild: Python 3.12 is asked for, but this base has $found: name another base or version" >&2; exit 1;; \
    esac; \
    python3 -m zipfile -e /mlbuild/python/uv/*.whl /tmp/uv; \
    chmod 0755 /tmp/uv/*.data/scripts/uv; \
    if [ -s /mlbuild/python/requirements.txt ]; then \
      /tmp/uv/*.data/scripts/uv pip install -q --python python3 --break-system-packages --no-index --no-deps --find-links /mlbuild/python/wheels --require-hashes -r /mlbuild/python/requirements.txt; \
    fi; \
    site=$(python3 -c 'import sysconfig; print(sysconfig.get_path("purelib"))'); \
    find "$site" -name '*.py' -newer /tmp/started | LC_ALL=C sort > /tmp/new; \
    python3 -m compileall -qq -j1 -x /site-packages/pip/ --invalidation-mode unchecked-hash -i /tmp/new || true

# The environment of the container.
ENV PYTHONUNBUFFERED=1

# The code. An edit of it runs nothing above this line again.
WORKDIR /app
COPY . /app/
