export sif=$images/@DIGEST@.sif

# The image, once for all jobs.
fetch() {
    [ -e "$sif" ] || (
        flock 9
        [ -e "$sif" ] || { apptainer pull "$sif.$SLURM_JOB_ID" docker://"$image" && mv "$sif.$SLURM_JOB_ID" "$sif"; }
    ) 9> "$sif.lock"
}

# A container with these words as its program.
container() {
    local name pair
    for name in "${!SLURM_@}" @NAMES@; do
        [ -z "${!name+set}" ] || export "APPTAINERENV_$name=${!name}"
    done
    while IFS= read -r -d '' pair; do export "APPTAINERENV_$pair"; done < "$folder/variables"
    @CONTAINER@ "$@"
}

# Slurm starts it once for each task.
task() {
    @RANKS@
    @GPUS@
    # Slurm sends the container's program each signal itself.
    trap : TERM USR1 USR2 HUP INT
    container @COMMAND@
    ended "$?"
}

# A program in a container of its own, on the task's node and with the same folders.
beside() {
    container "$@"
    exit "$?"
}

