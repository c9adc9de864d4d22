# Debian packages: host tools by apt-get install, engines by extraction into
# our own folder, so that no service of theirs is set up on the machine.
# shellcheck shell=bash

# What the scripts call and no engine replaces.
install_tools() {
    local need=() pair
    for pair in ip:iproute2 iptables:iptables dnsmasq:dnsmasq-base skopeo:skopeo mmdebstrap:mmdebstrap openssl:openssl \
        htpasswd:apache2-utils ssh:openssh-client git:git curl:curl python3:python3 xz:xz-utils \
        flock:util-linux Xvfb:xvfb xauth:xauth weston:weston wayland-info:wayland-utils \
        pulseaudio:pulseaudio pactl:pulseaudio-utils zsh:zsh faketime:faketime kubectl:kubernetes-client; do
        command -v "${pair%%:*}" > /dev/null || need+=("${pair##*:}")
    done
    [ ${#need[@]} -gt 0 ] || return 0
    say "installing ${need[*]}"
    apt-get update -q > "$STATE/log/apt.log" 2>&1
    DEBIAN_FRONTEND=noninteractive apt-get install -o DPkg::Lock::Timeout=600 -y -q --no-install-recommends "${need[@]}" \
        >> "$STATE/log/apt.log" 2>&1 || { tail -n 20 "$STATE/log/apt.log" >&2; die "apt-get install failed"; }
}

# pip, where a script needs it. Others may install packages at the same time: apt waits for its lock.
install_pip() {
    command -v pip3 > /dev/null || DEBIAN_FRONTEND=noninteractive \
        apt-get install -o DPkg::Lock::Timeout=600 -y -q --no-install-recommends python3-pip > "$STATE/log/pip.log" 2>&1
}

# The reference libraries of SPDX, CycloneDX, in-toto, and the schemas of Kubernetes, for validate.py.
fetch_validators() {
    local log=$STATE/log/validators.log
    install_pip || { tail -n 5 "$STATE/log/pip.log" >&2; die "apt-get install python3-pip failed"; }
    rm -rf "$STATE/validators"
    pip3 install -q --no-deps --only-binary :all: --target "$STATE/validators" \
        -r "$ENGINES_SRC/validators.txt" > "$log" 2>&1 ||
        { tail -n 5 "$log" >&2; die "could not fetch the validators"; }
}

# The mirror this machine takes Debian from.
debian_mirror() {
    local uri
    # shellcheck disable=SC2016 # $(REPO_URI) is apt's own placeholder
    uri=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' 2>/dev/null |
        awk '$2 == "bookworm" { print $1; exit }')
    [ -n "$uri" ] || die "apt's sources on this machine name no Debian 12 archive"
    printf %s "$uri"
}

# apt_suite SUITE ARGS...: apt-get that knows SUITE alone, in our own folder,
# with the machine's own proxy and mirror settings.
apt_suite() {
    local suite=$1 root=$STATE/apt/$1 mirror
    shift
    if [ ! -e "$root/apt.conf" ]; then
        mkdir -p "$root"/{lists/partial,archives/partial,etc/trusted.gpg.d,etc/preferences.d,etc/sources.list.d}
        : > "$root/status"
        mirror=$(debian_mirror)
        {
            printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\n' "$mirror" "$suite"
            printf 'Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n'
            if [ "$suite" = bookworm ]; then
                printf '\nTypes: deb\nURIs: %s-security/\nSuites: bookworm-security\nComponents: main\n' "${mirror%/}"
                printf 'Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n'
            fi
        } > "$root/etc/sources.list.d/engines.sources"
        {
            apt-config dump Acquire
            printf 'Dir::Etc "%s/etc";\nDir::Etc::sourcelist "none";\n' "$root"
            printf 'Dir::State "%s";\nDir::State::status "%s/status";\nDir::Cache "%s";\n' "$root" "$root" "$root"
            printf 'Acquire::Languages "none";\nAPT::Sandbox::User "root";\n'
        } > "$root/apt.conf.new"
        mv "$root/apt.conf.new" "$root/apt.conf"
    fi
    APT_CONFIG=$root/apt.conf apt-get -q "$@"
}

# extract SUITE FOLDER PACKAGE...: unpack packages into $STATE/deb/FOLDER. Engines are fetched side by side, and
# apt doesn't wait for its lists: one at a time asks for them.
extract() {
    local suite=$1 folder=$STATE/deb/$2 log=$STATE/log/extract-$2.log deb
    shift 2
    rm -rf "$folder"
    mkdir -p "$folder/debs" "$STATE/apt"
    if ! (
        exec 8> "$STATE/apt/$suite.lock"
        flock 8 && apt_suite "$suite" update && cd "$folder/debs" && apt_suite "$suite" download "$@"
    ) > "$log" 2>&1; then
        tail -n 20 "$log" >&2
        die "could not fetch $* from Debian $suite"
    fi
    for deb in "$folder"/debs/*.deb; do dpkg-deb -x "$deb" "$folder"; done
    rm -rf "$folder/debs"
}
