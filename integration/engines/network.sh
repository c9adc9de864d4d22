# One bridge per Docker, so that build steps and containers reach the network.
# The daemons run with iptables off: two of them, or one and the machine's
# own, would rewrite each other's chains. Ours is one masquerade rule each.
# shellcheck shell=bash

bridge_name() { printf 'mlb%s%s' "$TAG" "$1"; }

uplink_mtu() {
    local dev
    dev=$(ip -o route get 192.0.2.1 2>/dev/null | sed -n 's/.* dev \([^ ]*\).*/\1/p')
    cat "/sys/class/net/${dev:-lo}/mtu"
}

free_subnet() {
    local third taken
    # Not `ip | grep -q`: grep's early end would make ip, and so the pipe, fail.
    taken=$(ip -o -4 addr; ip -o -4 route)
    for third in $(seq 5 250); do
        case $taken in *" 172.30.$third."*) ;; *) printf '172.30.%s' "$third"; return ;; esac
    done
    die "no free 172.30.x.0/24 for a bridge"
}

rule() { printf '%s\n' "-s $1.0/24 ! -o $2 -m comment --comment mlbuild-$TAG -j MASQUERADE"; }

# bridge_up NUMBER
bridge_up() {
    local br net
    br=$(bridge_name "$1")
    if ! ip link show "$br" > /dev/null 2>&1; then
        net=$(free_subnet)
        ip link add "$br" type bridge
        ip addr add "$net.1/24" dev "$br"
        ip link set "$br" mtu "$(uplink_mtu)" up
        echo "$net" > "$STATE/net-$br"
    fi
    net=$(cat "$STATE/net-$br")
    if [ "$(cat /proc/sys/net/ipv4/ip_forward)" = 0 ]; then
        touch "$STATE/ip_forward_was_off"
        echo 1 > /proc/sys/net/ipv4/ip_forward
    fi
    # shellcheck disable=SC2046 # the rule is words on purpose
    iptables -t nat -C POSTROUTING $(rule "$net" "$br") 2>/dev/null ||
        iptables -t nat -A POSTROUTING $(rule "$net" "$br")
    # A Docker on the machine sets FORWARD's policy to DROP.
    local way
    for way in -i -o; do
        iptables -C FORWARD $way "$br" -m comment --comment "mlbuild-$TAG" -j ACCEPT 2>/dev/null ||
            iptables -I FORWARD $way "$br" -m comment --comment "mlbuild-$TAG" -j ACCEPT
    done
    names_up "$br"
}

bridge_down() {
    local br net way
    br=$(bridge_name "$1")
    [ -e "$STATE/net-$br" ] || return 0
    net=$(cat "$STATE/net-$br")
    names_down "$br"
    # shellcheck disable=SC2046 # the rule is words on purpose
    iptables -t nat -D POSTROUTING $(rule "$net" "$br") 2>/dev/null || true
    for way in -i -o; do
        iptables -D FORWARD $way "$br" -m comment --comment "mlbuild-$TAG" -j ACCEPT 2>/dev/null || true
    done
    ip link del "$br" 2>/dev/null || true
    rm -f "$STATE/net-$br"
}

forwarding_back() {
    [ -e "$STATE/ip_forward_was_off" ] || return 0
    # Another bridge may have come to need it since.
    if [ -z "$(ip -o link show type bridge)" ]; then echo 0 > /proc/sys/net/ipv4/ip_forward; fi
    rm -f "$STATE/ip_forward_was_off"
}
