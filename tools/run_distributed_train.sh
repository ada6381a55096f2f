#!/usr/bin/env bash
# Train on several devices: tools/run_distributed_train.sh [RANK_TABLE] RANK_SIZE DEVICE_START [OPTION OF tools/train.py] ...
# It is tools/launch.py, whose --help tells of the environment. PYTHON: default .venv's or the installation's, else python3.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-$here/../.venv/bin/python}
[ "${here##*/}" = tools ] || python=${PYTHON:-$here/../../../../bin/python} # of the environment that holds this
[ -x "$python" ] || python=$(command -v python3)
exec "$python" "$here/launch.py" "$@"
