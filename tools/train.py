#!/usr/bin/env python
"""Train U-GAT-IT. `tools/train.py --help` lists the options; the work is in ugatit_train/loop.py."""

import sys

from ugatit_train import config


def main(argv: list[str]) -> int:
    try:
        options = config.parse(argv)
        print(config.describe(options), end="", flush=True)
    except config.OptionError as error:
        print(f"tools/train.py: {error}", file=sys.stderr)
        return 2
    if options.dry_run:
        return 0

    from ugatit_train import loop  # MindSpore loads here, after every check that does not need it

    loop.train(options)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
