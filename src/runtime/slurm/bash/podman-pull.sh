podman image exists "$image" || (
        flock 9
        podman image exists "$image" || podman pull --quiet "$image" > /dev/null
    ) 9> "$images/podman-$SLURMD_NODENAME.lock" || ended 125
