# A resolver on the bridge of each Docker. It keeps names in mind, and gives an
# answer that has run out while the machine's own resolver gives none: some
# lose questions when many are asked at once.
# shellcheck shell=bash

names_up() {
    local br=$1 net
    net=$(cat "$STATE/net-$br")
    start "names-$br" dnsmasq --keep-in-foreground --conf-file=/dev/null --pid-file= --user=root --no-hosts \
        --interface="$br" --except-interface=lo --bind-interfaces --cache-size=1000 --use-stale-cache=7200
    wait_for "names-$br" 10 listens "$net.1" 53
}

names_down() { stop "names-$1"; }
