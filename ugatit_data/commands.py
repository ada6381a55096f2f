"""What a tool is called where this program runs, for messages that name one as the remedy."""

from __future__ import annotations

import sys
from pathlib import Path

# `ugatit <name>` of an installation -> the file of a clone's folder `tools`.
SCRIPTS = {
    "convert": "convert_dataset.py",
    "verify": "verify_dataset.py",
    "train": "train.py",
    "launch": "launch.py",
    "translate": "translate.py",
    "serve": "serve.py",
    "evaluate": "evaluate.py",
    "compare": "compare_runs.py",
    "export": "export.py",
    "import_pytorch": "import_pytorch.py",
    "import_modelzoo": "import_modelzoo.py",
    "export_pytorch": "export_pytorch.py",
    "import_inception": "import_inception.py",
    "infer_310": "infer_310.py",
    "profile": "profile_step.py",
    "check_device": "check_device.py",
    "sample": "make_sample_dataset.py",
    "demo": "demo.py",
}


def command(name: str) -> str:
    """How the user starts the tool `name`: "tools/convert_dataset.py" if they run a clone's, "ugatit convert" else."""
    program = Path(sys.argv[0])
    from_clone = program.suffix == ".py" and program.parent.name == "tools"
    return f"tools/{SCRIPTS[name]}" if from_clone else f"ugatit {name}"
