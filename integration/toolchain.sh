# What building mlbuild needs, and where it comes from when it is missing.
# Sourced by ./test and ./quickstart.
# shellcheck shell=bash

RUST_MIN=1.89.0

# have_version MIN VERSION: VERSION is MIN or newer.
have_version() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]; }

# apt_install PACKAGE...: only as root; anyone else is told what to type.
apt_install() {
    local log=${APT_LOG:-/dev/null}
    if [ "$(id -u)" != 0 ]; then
        echo "error: not installed: $*; next: sudo apt-get install $*" >&2
        return 1
    fi
    echo "installing $*" >&2
    { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -o DPkg::Lock::Timeout=600 -y -q --no-install-recommends "$@"; } \
        >> "$log" 2>&1 || { echo "error: could not install $* (log: $log)" >&2; return 1; }
}

rust_is_new_enough() {
    local version
    version=$(cargo --version 2>/dev/null | awk '{ print $2 }')
    [ -n "$version" ] && have_version "$RUST_MIN" "$version"
}

# A C compiler (for the crates with C in them) and Rust.
install_build_tools() {
    local need=() pair
    for pair in cc:gcc make:make git:git; do
        command -v "${pair%%:*}" > /dev/null || need+=("${pair##*:}")
    done
    [ -e /usr/include/stdlib.h ] || need+=(libc6-dev)
    [ -e /etc/ssl/certs/ca-certificates.crt ] || need+=(ca-certificates)
    if ! rust_is_new_enough && [ -x "$HOME/.cargo/bin/cargo" ]; then PATH=$HOME/.cargo/bin:$PATH; fi
    # Debian 12 keeps a current Rust for its browsers.
    rust_is_new_enough || need+=(rustc-web cargo-web)
    [ ${#need[@]} = 0 ] || apt_install "${need[@]}" || return 1
    hash -r
    rust_is_new_enough || {
        echo "error: no Rust of $RUST_MIN or newer here or among the packages; next: install one from https://rustup.rs" >&2
        return 1
    }
}

# install_rust_target TARGET: the standard library of another target. Debian has none for musl.
install_rust_target() {
    [ -d "$(rustc --print sysroot)/lib/rustlib/$1/lib" ] && return
    if ! command -v rustup > /dev/null; then
        echo "error: $(rustc --version) has no standard library for $1; next: install Rust from https://rustup.rs" >&2
        return 1
    fi
    rustup target add "$1" >> "${APT_LOG:-/dev/null}" 2>&1 || {
        echo "error: rustup has no $1 for $(rustc --version); next: rustup target add $1" >&2
        return 1
    }
}

# rustfmt and clippy: rustup's components, else Debian's packages.
install_rust_lints() {
    lints_are_there && return
    if command -v rustup > /dev/null; then
        rustup component add rustfmt clippy >> "${APT_LOG:-/dev/null}" 2>&1 || true
    else
        apt_install rustfmt-web rust-web-clippy || true
    fi
    lints_are_there || {
        echo "error: no rustfmt and clippy for $(cargo --version); next: rustup component add rustfmt clippy" >&2
        return 1
    }
}

lints_are_there() {
    cargo fmt --version > /dev/null 2>&1 && cargo clippy --version > /dev/null 2>&1 && command -v clippy-driver > /dev/null
}
