# A model server by mlbuild. It also builds without mlbuild:
#
#   docker build --build-arg USER_UID=$(id -u) --build-arg USER_GID=$(id -g) -t my-image .

ARG BASE_IMAGE=tensorflow/serving:2.19.1-gpu
FROM ${BASE_IMAGE}
USER root

# The model, under its name and version.
COPY export/cracks/ /models/cracks-v2/1/
ENV MODEL_BASE_PATH=/models \
    MODEL_NAME=cracks-v2

# The environment of the container.
ENV NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    NVIDIA_VISIBLE_DEVICES=all

# The user: one small last layer with all that belongs to these ids.
ARG USERNAME=serve
ARG USER_UID=1234
ARG USER_GID=1234
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
    chown -R "$USER_UID:$USER_GID" "$home"
ENV PATH=${PATH}:/home/${USERNAME}/.local/bin
USER ${USERNAME}

EXPOSE 8500 8501 9100
