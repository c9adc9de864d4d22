# Debian 12's Slurm by extraction: munged, slurmctld and the slurmd of two nodes, n1 and n2, on loopback.
# shellcheck shell=bash

fetch_slurm() {
    local deb=$STATE/deb/slurm
    extract bookworm slurm slurmctld slurmd slurm-client slurm-wlm-basic-plugins slurm-wlm-plugins \
        munge libmunge2 libhwloc15 liblua5.1-0 libhttp-parser2.9
    (cd "$deb/usr" && rm -rf share)
    # It tells by its own file name that it is one, and Debian names it otherwise.
    printf '#!/bin/sh\nexport LD_LIBRARY_PATH=%q\nexec %q "$@"\n' "$(slurm_libraries)" "$deb/slurmstepd" > "$deb/stepd.new"
    mkdir -p "$deb/wrapped"
    chmod +x "$deb/stepd.new"
    mv "$deb/stepd.new" "$deb/wrapped/slurmstepd"
    ln -sf usr/sbin/slurmstepd-wlm "$deb/slurmstepd"
}

slurm_libraries() {
    local lib
    lib=$STATE/deb/slurm/usr/lib/$(uname -m)-linux-gnu
    printf '%s:%s/slurm-wlm' "$lib" "$lib"
}

# The folder with sbatch, squeue and the others: not on everybody's PATH, or this machine would be a cluster's.
slurm_bin() { printf '%s/slurm/bin' "$STATE"; }

slurm_config() {
    local root=$RUN/slurm host deb=$STATE/deb/slurm
    host=$(uname -n)
    cat << CONF
ClusterName=mlb
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$(port_of slurmctld)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$root/munge.socket
CredType=cred/munge
PluginDir=$deb/usr/lib/$(uname -m)-linux-gnu/slurm-wlm
StateSaveLocation=$root/state
SlurmdSpoolDir=$root/spool/%n
SlurmctldPidFile=$root/slurmctld.pid
SlurmdPidFile=$root/slurmd-%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=10
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
GresTypes=gpu
ReturnToService=2
SlurmdParameters=config_overrides
KillWait=5
MinJobAge=120
MessageTimeout=5
SchedulerParameters=sched_interval=2,batch_sched_delay=0,sched_min_interval=0,bf_interval=2
NodeName=n1 NodeHostname=$host NodeAddr=127.0.0.1 Port=$(port_of slurmd-n1) CPUs=16 RealMemory=4000 Gres=gpu:2
NodeName=n2 NodeHostname=$host NodeAddr=127.0.0.1 Port=$(port_of slurmd-n2) CPUs=16 RealMemory=4000 Gres=gpu:2
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
}

# A wrapper for each client, which knows its libraries and its cluster.
slurm_clients() {
    local bin name
    bin=$(slurm_bin)
    mkdir -p "$bin"
    for name in sbatch squeue scontrol scancel sacct srun sinfo; do
        printf '#!/bin/sh\nexport LD_LIBRARY_PATH=%q SLURM_CONF=%q\nexec %q "$@"\n' \
            "$(slurm_libraries)" "$RUN/slurm/slurm.conf" "$STATE/deb/slurm/usr/bin/$name" > "$bin/$name.new"
        chmod +x "$bin/$name.new"
        mv "$bin/$name.new" "$bin/$name"
    done
}

# Whether both nodes take jobs. One that lost a job, with a slurmctld that was killed, is told to go on.
slurm_takes_jobs() {
    local states
    states=$("$(slurm_bin)/sinfo" -h -N -o %T) || return 1
    if grep -q -e drain -e down <<< "$states"; then
        "$(slurm_bin)/scontrol" update NodeName=n1,n2 State=RESUME || true
        return 1
    fi
    [ "$(grep -c -x -e idle -e mixed -e allocated -e completing <<< "$states")" = 2 ]
}

slurm_start() {
    local root=$RUN/slurm sbin=$STATE/deb/slurm/usr/sbin node
    export LD_LIBRARY_PATH SLURM_CONF=$root/slurm.conf
    LD_LIBRARY_PATH=$(slurm_libraries)
    start munged "$sbin/munged" --foreground --num-threads=2 --key-file="$root/munge.key" --socket="$root/munge.socket" \
        --pid-file="$root/munge.pid" --log-file="$STATE/log/munge.log" --seed-file="$root/munge.seed"
    wait_for munged 10 test -S "$root/munge.socket"
    start slurmctld "$sbin/slurmctld-wlm" -D -f "$SLURM_CONF"
    for node in n1 n2; do
        start "slurmd-$node" "$sbin/slurmd-wlm" -D -d "$STATE/deb/slurm/wrapped/slurmstepd" -N "$node"
    done
}

slurm_up() {
    local root=$RUN/slurm
    if ! running slurmctld || ! running slurmd-n1 || ! running slurmd-n2; then
        mkdir -p "$root"/{state,dev,spool/n1,spool/n2}
        [ -e "$root/munge.key" ] || (umask 077 && head -c 128 /dev/urandom > "$root/munge.key")
        # Any device does for a GPU that is only counted.
        for gpu in 0 1; do [ -e "$root/dev/nvidia$gpu" ] || mknod -m 666 "$root/dev/nvidia$gpu" c 1 3; done
        printf 'NodeName=n[1-2] Name=gpu File=%s\n' "$root/dev/nvidia[0-1]" > "$root/gres.conf"
        slurm_config > "$root/slurm.conf"
        slurm_clients
        (slurm_start)
    fi
    wait_for slurmctld 20 slurm_takes_jobs
}

slurm_down() {
    local name
    for name in slurmd-n1 slurmd-n2 slurmctld munged; do stop "$name"; done
    rm -rf "$RUN/slurm" "$STATE/slurm"
}
