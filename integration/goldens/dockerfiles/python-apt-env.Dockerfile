# An ML image from mlbuild's `python` template. It also builds without mlbuild:
#
#   docker build -t my-image .

ARG BASE_IMAGE=debian:12-slim
FROM ${BASE_IMAGE}
USER root

# Packages of the distribution.
ARG APT_PACKAGES="g++ git libc6:amd64"
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
    python3 -m venv /opt/venv; \
    export UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never UV_NO_INSTALLER_METADATA=1 UV_HTTP_RETRIES=8; \
    uv=$(command -v uv || echo /tmp/uv/bin/uv); \
    [ -x "$uv" ] || /opt/venv/bin/python -m pip install -q --target /tmp/uv uv==0.13.9; \
    "$uv" pip install -q --python /opt/venv/bin/python 'numpy>=1.26,<3' scikit-learn; \
    rm -rf /tmp/uv; \
    PYTHONHASHSEED=0 /opt/venv/bin/python -m compileall -qq -j0 --invalidation-mode unchecked-hash /opt/venv/lib || true
ENV VIRTUAL_ENV=/opt/venv \
    PATH=/opt/venv/bin:${PATH}

# The environment of the container.
ENV BACKSLASH="C:\\dir\\" \
    DOLLAR="\$HOME \${HOME} \$\$" \
    HASH="# not a comment" \
    PLAIN=1 \
    PYTHONUNBUFFERED=1 \
    QUOTES="say \"hi\", it's" \
    SPACES=" a  b " \
    XLA_FLAGS=--xla_gpu_autotune_level=2 \
    PATH=/opt/tools/bin:${PATH}

# The code. An edit of it runs nothing above this line again.
WORKDIR "/media/vorph/datas/cracks defect"
COPY [".", "\"/media/vorph/datas/cracks defect/\""]

EXPOSE 5000 8001 53/udp
LABEL org.opencontainers.image.source="https://example.com/a?b=c&d=\$e"
ENTRYPOINT ["python", "-u"]
CMD ["/bin/sh", "-c", "python train.py --name 'a b' && echo $HOME"]
