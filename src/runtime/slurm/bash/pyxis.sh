export sqsh=$images/@DIGEST@.sqsh

# The image, once for all jobs.
fetch() {
    [ -e "$sqsh" ] || (
        flock 9
        [ -e "$sqsh" ] || { enroot import --output "$sqsh.$SLURM_JOB_ID" @SOURCE@ && mv "$sqsh.$SLURM_JOB_ID" "$sqsh"; }
    ) 9> "$sqsh.lock"
}

beside() {
    echo "mlbuild: nothing can be started beside a container of pyxis" >&2
    exit 125
}

