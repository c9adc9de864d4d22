# shellcheck shell=sh
# One look of a kubelet at whether a container is at work: 1 where it isn't. $1: times that are enough, $2: what is
# said then, the rest: its ports, as /proc has them. What can't be measured is work.
room=/run/mlbuild/idle
enough=$1 text=$2
shift 2
ports=" $* "
busy=
ticks=0
for stat in /proc/[0-9]*/stat; do
    { IFS= read -r line < "$stat"; } 2> /dev/null || continue
    # After the name, which may have blanks: state, parent, group, session, terminal, and so on.
    # shellcheck disable=SC2086 # Words.
    set -- ${line##*) }
    [ $# -gt 14 ] || continue
    ticks=$((ticks + ${12} + ${13} + ${14} + ${15}))
    # Somebody has a shell in it.
    [ "$5" = 0 ] || busy=1
done
read -r now _ < /proc/uptime || exit 0
now=${now%.*}
# Of a hundred ticks in a second five are little.
count=0
if read -r before old count < "$room/last"; then
    [ $((ticks - old)) -le $(((now - before) * 5)) ] || busy=1
else
    busy=1
fi 2> /dev/null
for table in /proc/net/tcp /proc/net/tcp6; do
    [ -r "$table" ] || continue
    while read -r _ here _ state _; do
        [ "$state" != 01 ] || case $ports in *" ${here##*:} "*) busy=1 ;; esac
    done < "$table"
done
if command -v nvidia-smi > /dev/null 2>&1; then
    for use in $(nvidia-smi --query-gpu=utilization.gpu --format=csv,noheader,nounits 2> /dev/null); do
        case $use in *[!0-9]*) ;; *) [ "$use" -lt 5 ] || busy=1 ;; esac
    done
fi
if [ -n "$busy" ]; then count=0; else count=$((count + 1)); fi
echo "$now $ticks $count" > "$room/last" || exit 0
[ -z "$busy" ] || exit 0
[ "$count" -lt "$enough" ] || echo "$text" > /dev/termination-log
exit 1
