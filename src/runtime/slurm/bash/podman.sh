# A container with these words as its command.
container() {
    @CONTAINER@ "$@"
}

# Slurm starts it once for each task.
task() {
    local name=mlbuild-$SLURM_JOB_ID-$SLURM_PROCID status code signal pair
    @RANKS@
    @GPUS@
    @PULL@
    @VARIABLES@
    # Slurm's signals end podman, and are for the container, which goes on without it.
    trap 'setsid --fork bash -c "podman stop --time @TIMEOUT@ $name; sleep 5; podman rm --force $name" > /dev/null 2>&1' TERM
    for signal in USR1 USR2 HUP INT; do
        trap "setsid --fork podman kill --signal $signal $name > /dev/null 2>&1" "$signal"
    done
    container @COMMAND@
    status=$?
    while podman container exists "$name"; do
        code=$(podman wait "$name" 2> /dev/null)
        [[ ! $code =~ ^[0-9]+$ ]] || { status=$code && break; }
    done
    podman rm --force "$name" > /dev/null 2>&1
    ended "$status"
}

# A program in the container of a task, of the first one where none is named.
beside() {
    local tty=()
    [ ! -t 0 ] || tty=(--tty)
    exec podman exec --interactive "${tty[@]}" "mlbuild-$SLURM_JOB_ID-${MLBUILD_BESIDE_RANK:-0}" "$@"
}

