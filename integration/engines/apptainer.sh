# Debian sid's apptainer, in a root of its own: it needs a newer glibc than this machine's, and user namespaces,
# which a plain chroot refuses.
# shellcheck shell=bash

fetch_apptainer() {
    local root=$STATE/apptainer/root log=$STATE/log/apptainer.log
    rm -rf "$STATE/apptainer"
    mkdir -p "$STATE/apptainer/bin"
    # A mirror may hold a sid that is older than its own Release file allows.
    mmdebstrap --quiet --variant=extract --aptopt='Acquire::Check-Valid-Until "false"' \
        --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr \
        --include=apptainer,squashfs-tools,squashfuse,fuse2fs,ca-certificates,bash,coreutils,mount,base-files,base-passwd,libc-bin,uidmap \
        sid "$root" "$(debian_mirror)" > "$log" 2>&1 ||
        { tail -n 20 "$log" >&2; die "mmdebstrap failed for sid's apptainer"; }
    rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/usr/share/doc "$root"/usr/share/man
    rm -rf "${root:?}"/dev "$root"/proc "$root"/sys "$root"/tmp
    # Without them it says that it can't read them.
    printf '127.0.0.1 localhost\n' > "$root/etc/hosts"
    : > "$root/etc/resolv.conf"
    cp -L /etc/localtime "$root/etc/localtime" 2> /dev/null || : > "$root/etc/localtime"
    ln -sf bash "$root/usr/bin/sh"
    cp "$root/usr/share/base-passwd/passwd.master" "$root/etc/passwd"
    cp "$root/usr/share/base-passwd/group.master" "$root/etc/group"
    apptainer_clients
}

apptainer_bin() { printf '%s/apptainer/bin' "$STATE"; }

# In a mount namespace of its own: sid's system folders, and every other folder of this machine in its place.
apptainer_clients() {
    local bin name
    bin=$(apptainer_bin)
    cat > "$bin/in-sid" << 'SCRIPT'
#!/bin/bash
# in-sid ROOT PROGRAM ARG...: in a mount namespace of our own already.
set -e
root=$1 cwd=$PWD
shift
mount --bind "$root" "$root"
for folder in /*; do
    [ -d "$folder" ] && [ ! -L "$folder" ] || continue
    case $folder in /usr | /bin | /sbin | /lib* | /etc | /var | /opt) continue ;; esac
    mkdir -p "$root$folder"
    mount --rbind "$folder" "$root$folder"
done
mkdir -p "$root/.old"
pivot_root "$root" "$root/.old"
cd /
umount -l /.old
cd "$cwd"
export PATH=/usr/bin:/usr/sbin
exec "$@"
SCRIPT
    chmod +x "$bin/in-sid"
    for name in apptainer unsquashfs mksquashfs; do
        # As root of a user namespace: this machine's root may lack capabilities that it asks for otherwise.
        # shellcheck disable=SC2016 # expanded by whoever calls it
        {
            printf '#!/bin/sh\nexport APPTAINER_USERNS="${APPTAINER_USERNS-1}" APPTAINER_CONFIGDIR=%q\n' "$STATE/apptainer/config"
            printf 'export APPTAINER_CACHEDIR="${APPTAINER_CACHEDIR:-%q}"\n' "$STATE/apptainer/cache"
            printf 'exec unshare -m --propagation private %q %q %q "$@"\n' "$bin/in-sid" "$STATE/apptainer/root" "$name"
        } > "$bin/$name.new"
        chmod +x "$bin/$name.new"
        mv "$bin/$name.new" "$bin/$name"
    done
}
