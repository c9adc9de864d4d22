# Where tasks meet: at the address that Slurm itself has of the first node, on a port of this job's.
first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
MASTER_ADDR=$(scontrol -o show node "$first" | sed -n 's/.* NodeAddr=\([^ ]*\).*/\1/p')
export MASTER_ADDR=${MASTER_ADDR:-$first} MASTER_PORT=$((61000 + SLURM_JOB_ID % 4536))
