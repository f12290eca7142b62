#!/bin/bash
# One shard of a run on each node of a Slurm array, with a vLLM server beside it, on a shared file system that locks files.
#
#   sbatch slurm.sh CONFIG FOLDER         CONFIG names http://localhost:8000/v1 as the endpoint of the target
#   clairgen status FOLDER
#   clairgen merge FOLDER --run RUN       when the array has ended
#
# A job that is stopped or loses its node is queued again and goes on: only what was in flight is asked again. What follows FOLDER are
# further options of clairgen generate. With slurm-coordinator.sh the shards have one limit and one budget.

#SBATCH --job-name=clairgen
#SBATCH --array=1-8
#SBATCH --nodes=1
#SBATCH --exclusive
#SBATCH --gpus-per-node=1
#SBATCH --time=24:00:00
#SBATCH --signal=B:TERM@180
#SBATCH --requeue
#SBATCH --open-mode=append

set -euo pipefail
config=$1
run=$2/$SLURM_ARRAY_TASK_ID
model=${MODEL:-meta-llama/Meta-Llama-3-8B-Instruct}

mkdir -p "$2"
if [[ -e $2/coordinator ]]; then
    CLAIRGEN_COORDINATOR=$(< "$2/coordinator")
    CLAIRGEN_TOKEN_MEMBER=$(< "$2/token")
    export CLAIRGEN_COORDINATOR CLAIRGEN_TOKEN_MEMBER
fi
vllm serve "$model" --port "${PORT:-8000}" > "$2/vllm-$SLURM_ARRAY_TASK_ID.log" 2>&1 &
server=$!
clairgen generate "$config" --run "$run" --shard auto --drain-seconds 120 "${@:3}" &
generating=$!
trap 'kill -TERM "$generating"' TERM          # 180 s before the end of its time: what is in flight is finished and kept
trap 'kill "$server" 2> /dev/null' EXIT

code=0
wait "$generating" || code=$?
if kill -0 "$generating" 2> /dev/null; then   # a signal ends the first wait and not the process
    code=0
    wait "$generating" || code=$?
fi
case $code in
    130 | 3) scontrol requeue "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID" ;;   # stopped, or its server failed
esac
exit "$code"
