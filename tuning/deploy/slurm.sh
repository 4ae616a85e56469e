#!/usr/bin/env bash
# A search under SLURM: one task is the chief, the others are workers, with a GPU each.
#   sbatch --ntasks=5 --gpus-per-task=1 slurm.sh STUDY.toml /shared/DIRECTORY
# The directory must be on a file system that all nodes share. A job that reaches its time limit
# goes on where it was when it is submitted again.
#SBATCH --job-name=kerascnn-tune
#SBATCH --cpus-per-task=4
#SBATCH --time=12:00:00
set -euo pipefail

study=$1
export KERASCNN_DIR=$2
export KERASCNN_PORT=8431
export KERASCNN_CHIEF=$(hostname -i | cut -d' ' -f1)
export KERASCNN_TOKEN="$KERASCNN_DIR.token"
(umask 077; [[ -s $KERASCNN_TOKEN ]] || openssl rand -hex 16 > "$KERASCNN_TOKEN")

# The first task runs on the node of this script.
srun --kill-on-bad-exit=0 bash -c '
  if [[ $SLURM_PROCID == 0 ]]; then
    CUDA_VISIBLE_DEVICES=-1 exec kerascnn tune chief "$0" --dir "$KERASCNN_DIR" \
      --bind "$KERASCNN_CHIEF:$KERASCNN_PORT" --token-file "$KERASCNN_TOKEN"
  fi
  exec kerascnn tune worker --chief "$KERASCNN_CHIEF:$KERASCNN_PORT" --dir "$KERASCNN_DIR" \
    --token-file "$KERASCNN_TOKEN"
' "$study"
