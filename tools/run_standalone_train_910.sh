#!/usr/bin/env bash
# The model zoo's name: tools/run_standalone_train_910.sh DEVICE_ID [OPTION OF tools/train.py] ..., on Ascend.
exec "$(dirname "$0")/run_standalone_train.sh" "$@" --device_target Ascend
