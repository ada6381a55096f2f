"""Compare our networks with the public PyTorch implementation itself, full and light.

    PYTHONPATH=. python tests/train/public_pytorch.py PATH_OF_A_CLONE_OF_UGATIT-pytorch

It makes random networks with the clone's own classes, imports their checkpoint, and prints the largest differences of
pictures and discriminators. Exit code: 0 all within 1e-4, 1 not, 2 no such clone.
"""

import importlib.util
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]


def main(clone: Path) -> int:
    file = clone / "networks.py"
    if not file.is_file():
        print(f"{file}: no such file: give the folder of a clone of UGATIT-pytorch", file=sys.stderr)
        return 2
    from ugatit_train import runtime

    runtime.setup("CPU")
    from train import torch_twin

    from tools import commandline, import_pytorch

    spec = importlib.util.spec_from_file_location("public_networks", file)
    public = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(public)

    worst = 0.0
    for light in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            path, run = Path(folder) / "params.pt", Path(folder) / "run"
            networks = torch_twin.random_networks(public.ResnetGenerator, public.Discriminator, light=light)
            torch_twin.save(networks, path)
            code = commandline.run("import_pytorch", import_pytorch.main, [str(path), str(run), "--img_size", "32"])
            if code:
                return code
            for name, difference in torch_twin.compare(networks, run, 32).items():
                print(f"{'light' if light else 'full'} {name}: {difference:.1e}")
                worst = max(worst, difference)
    return 0 if worst <= torch_twin.BOUND else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) == 2 else Path()))
