#!/usr/bin/env bash
# The model zoo's name: tools/run_standalone_train_910.sh DEVICE_ID [OPTION OF tools/train.py] ..., on Ascend.
[[ ${1:-} =~ ^[0-9]+$ ]] || { echo "Usage: tools/run_standalone_train_910.sh DEVICE_ID [OPTION OF tools/train.py] ..." >&2; exit 2; }
exec "$(dirname "$0")/run_standalone_train.sh" "$@" --device_target Ascend
