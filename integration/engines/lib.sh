# Shared ground of the engine scripts: where state lives, how a daemon is
# started and ended, which port is free. Sourced, never run.
# shellcheck shell=bash

ENGINES_SRC=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
REPO=$(cd "$ENGINES_SRC/../.." && pwd)
STATE=${MLBUILD_ENGINES_DIR:-$REPO/.state/engines}
mkdir -p "$STATE"
STATE=$(cd "$STATE" && pwd)
export BIN=$STATE/bin
TAG=$(printf %s "$STATE" | sha256sum | cut -c1-6)
# Sockets live in a short path: a unix socket's path holds 107 bytes, and
# daemons add their own names below this folder.
RUN=/run/mlbuild-$TAG

say() { printf 'engines: %s\n' "$*" >&2; }
die() { printf 'engines: error: %s\n' "$*" >&2; exit 1; }

make_state() {
    [ "$(id -u)" = 0 ] || die "bringing up container engines needs root; try: sudo $0"
    mkdir -p "$STATE"/{bin,deb,log,pids,ports,stamp} "$RUN"
    chmod 711 "$RUN"
}

# unmount_below FOLDER...: what a killed daemon left mounted.
unmount_below() {
    local folder
    for folder; do
        awk -v under="$folder/" 'index($2, under) == 1 { print $2 }' /proc/mounts | sort -r | xargs -r umount -l
    done
}

# once NAME COMMAND...: run COMMAND unless it succeeded before.
once() {
    local name=$1 started=$SECONDS
    shift
    [ ! -e "$STATE/stamp/$name" ] || return 0
    "$@"
    touch "$STATE/stamp/$name"
    say "$name: $((SECONDS - started)) s"
}

# The kernel's start time of a process tells it from a later one with its id.
start_time() { awk '{ sub(/.*\) /, ""); print $20 }' "/proc/$1/stat" 2>/dev/null; }

running() {
    local pid started
    [ -e "$STATE/pids/$1" ] || return 1
    read -r pid started < "$STATE/pids/$1"
    [ -n "$started" ] && [ "$(start_time "$pid")" = "$started" ]
}

# start NAME COMMAND...: start a daemon that outlives this shell.
start() {
    local name=$1 pid
    shift
    ! running "$name" || return 0
    # Not in the caller's folder: it may be gone before the engine is.
    # Most are Go programs, which here would spend a fifth of their time on collecting garbage early.
    setsid env -C "$STATE" GOGC=400 "$@" > "$STATE/log/$name.log" 2>&1 < /dev/null 9>&- &
    pid=$!
    printf '%s %s\n' "$pid" "$(start_time "$pid")" > "$STATE/pids/$name"
}

stop() {
    local name=$1 pid _
    if running "$name"; then
        read -r pid _ < "$STATE/pids/$name"
        kill "$pid" 2>/dev/null || true
        for _ in $(seq 100); do running "$name" || break; sleep 0.2; done
        if running "$name"; then
            say "$name did not stop in 20 s: killing it"
            kill -9 "$pid" 2>/dev/null || true
        fi
    fi
    rm -f "$STATE/pids/$name"
}

# wait_for NAME SECONDS COMMAND...: until COMMAND succeeds, while NAME lives.
wait_for() {
    local name=$1 limit=$(($2 * 5)) _
    shift 2
    for _ in $(seq "$limit"); do
        if "$@" > /dev/null 2>&1; then return 0; fi
        running "$name" || break
        sleep 0.2
    done
    tail -n 30 "$STATE/log/$name.log" >&2 || true
    die "$name does not answer; its log: $STATE/log/$name.log"
}

# listens ADDRESS PORT: whether somebody does, on TCP.
listens() { (: < "/dev/tcp/$1/$2") 2>/dev/null; }

port_taken() { listens 127.0.0.1 "$1"; }

# port_of NAME: the port of a daemon of ours, chosen free the first time.
port_of() {
    local file=$STATE/ports/$1 port
    if [ ! -e "$file" ]; then
        while :; do
            port=$((20000 + RANDOM % 12000))
            ! grep -qx "$port" "$STATE"/ports/* 2>/dev/null && ! port_taken "$port" && break
        done
        echo "$port" > "$file"
    fi
    cat "$file"
}
