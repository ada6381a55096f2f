#!/usr/bin/env bash
# The model zoo's name: tools/run_distributed_train_910.sh [RANK_TABLE] RANK_SIZE DEVICE_START [OPTION] ..., on Ascend.
exec "$(dirname "$0")/run_distributed_train.sh" "${@:---help}" --device_target Ascend
