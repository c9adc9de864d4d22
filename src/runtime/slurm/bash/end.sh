# The end of a task. What failed first is the job's end: srun tells how those ended that it ended for that.
ended() {
    [ "$1" = 0 ] || (set -o noclobber && echo "$1" > "$folder/failed") 2> /dev/null
    exit "$1"
}

# The end of the job.
finish() {
    [ ! -s "$folder/failed" ] || set -- "$(cat "$folder/failed")"
    echo "$1" > "$folder/exit_code.new" && mv "$folder/exit_code.new" "$folder/exit_code"
    exit "$1"
}

case ${1-} in
    task) task ;;
    beside)
        shift
        beside "$@"
        ;;
esac
rm -f "$folder/exit_code" "$folder/failed"
mkdir -p "$images"
# How often the run was begun: the job is queued again, or tried again.
MLBUILD_ATTEMPT=$(($(cat "$folder/attempt" 2> /dev/null || echo 0) + 1))
echo "$MLBUILD_ATTEMPT" > "$folder/attempt"
export MLBUILD_ATTEMPT
[ "$MLBUILD_ATTEMPT" = 1 ] || echo "mlbuild: attempt $MLBUILD_ATTEMPT"
@POINT@
@RENDEZVOUS@
@FETCH@
# Slurm ends the tasks; this waits for them, to write down how they ended.
trap : TERM USR1 USR2 HUP INT
@START@
finish "$?"
