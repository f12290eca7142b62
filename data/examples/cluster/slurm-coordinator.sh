#!/bin/bash
# One limit and one budget for all shards of slurm.sh: a coordinator on a machine that lasts, such as a login node.
#
#   bash slurm-coordinator.sh FOLDER                    runs until Ctrl-C; may be started again
#   sbatch slurm.sh CONFIG FOLDER --budget-usd 40       on the same machine, in another terminal
#
# The jobs read its address in FOLDER/coordinator and its token in FOLDER/token, which only you can read. What it must not forget is
# in STATE, on a disk of this machine.

set -euo pipefail
state=${STATE:-/var/tmp/clairgen-$(id -un)}
port=${COORDINATOR_PORT:-8321}

mkdir -p "$1" "$state"
[[ -s $1/token ]] || (umask 077 && openssl rand -hex 32 > "$1/token")
echo "http://$(hostname):$port" > "$1/coordinator"
CLAIRGEN_TOKEN_MEMBER=$(< "$1/token")
export CLAIRGEN_TOKEN_MEMBER
exec clairgen serve "$state" --host 0.0.0.0 --port "$port" --allow-host "$(hostname)"
