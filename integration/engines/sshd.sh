# An sshd program by extraction: the tests start it themselves, on loopback,
# with their own keys. Installing the package would start a service.
# shellcheck shell=bash

fetch_sshd() {
    local deb=$STATE/deb/sshd
    extract bookworm sshd openssh-server libwrap0
    # sshd drops its privileges to this user, which its package would make.
    getent passwd sshd > /dev/null ||
        useradd --system --no-create-home --home-dir /run/sshd --shell /usr/sbin/nologin sshd
    {
        printf '#!/bin/sh\n'
        printf 'LD_LIBRARY_PATH=%q exec %q "$@"\n' "$deb/usr/lib/$(uname -m)-linux-gnu" "$deb/usr/sbin/sshd"
    } > "$BIN/sshd.new"
    chmod 755 "$BIN/sshd.new"
    mv "$BIN/sshd.new" "$BIN/sshd"
}
