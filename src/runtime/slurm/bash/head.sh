
# Run @RUN@ under Slurm, written by mlbuild submit. In its folder: this file; the container's variables,
# which only you may read; what the job prints (output); its exit code, once it has ended (exit_code).
umask 077
@ARRAY@
export folder=@FOLDER@ images=@IMAGES@ image=@IMAGE@

