"""What the compiler's last graph says: its kernels, and whether each read of a parameter has its place among them."""

import contextlib
import os
import re
from collections import Counter, defaultdict
from pathlib import Path

import mindspore

NO_KERNEL = {"MakeTuple", "TupleGetItem", "Depend", "UpdateState", "Load", "Reshape", "Return"}
# Their results are, or may be, a parameter's own memory.
SAME_MEMORY = {"Load", "Reshape", "Depend", "MakeTuple", "TupleGetItem"}
WRITTEN = {"Adam": 3, "Assign": 1, "AssignAdd": 1, "AssignSub": 1}  # how many of the first arguments


class SavedGraph:
    """Nodes (number, primitive, arguments, whether it writes), in an order in which they can be computed."""

    def __init__(self) -> None:
        self.nodes: list[tuple[int, str, list[str], bool]] = []

    def read(self, text: str) -> None:
        for match in re.finditer(r"^  %(\d+)\([^)\n]*\) = (?:PrimFunc_)?(\w+)\(", text, re.MULTILINE):
            depth, end = 1, match.end()
            while depth:
                depth, end = depth + {"(": 1, ")": -1}.get(text[end], 0), end + 1
            arguments = re.findall(r"%(para\d+_[\w.]+|\d+)", text[match.end() : end])
            writes = "side_effect_mem: Bool(1)" in text[end : text.index("\n", end)]
            self.nodes.append((int(match[1]), match[2], arguments, writes))

    def kernels(self) -> Counter:
        """How many of each primitive."""
        return Counter(name for _, name, _, _ in self.nodes if name not in NO_KERNEL)

    def misread(self) -> list[str]:
        """Reads of a parameter that some order of the kernels makes another value of, as "parameter: primitive".

        MindSpore says by the Load's place which value is meant: that before an update, or after. One before must be
        read by a kernel that the update waits for; then no copy is needed.
        """
        before: dict[int, int] = {}  # a bit for each node that is computed earlier
        memory: dict[int, set[tuple[str, int]]] = {}  # of which parameters, loaded where
        readers, writers = defaultdict(list), defaultdict(list)
        for number, name, arguments, writes in self.nodes:
            assert (name in WRITTEN) == writes, name
            before[number] = 0
            for argument in (int(a) for a in arguments if a.isdigit()):
                before[number] |= before[argument] | 1 << argument
            found: set[tuple[str, int]] = set()
            for argument in arguments[:1] if name in ("Load", "Depend") else arguments:
                found |= memory[int(argument)] if argument.isdigit() else {(argument, number)}
            if name == "Load":
                found = {(parameter, number) for parameter, _ in found}
            memory[number] = found if name in SAME_MEMORY else set()
            if name not in SAME_MEMORY and name != "UpdateState":
                for parameter, load in found:
                    readers[parameter].append((load, number, name))
            for parameter in arguments[: WRITTEN.get(name, 0)]:
                writers[parameter].append(number)
        assert len(writers) > 100
        return [
            f"{parameter.partition('_')[2]}: {name}"
            for parameter, updates in writers.items()
            for update in updates
            for load, reader, name in readers[parameter]
            if reader != update and not before[load] >> update & 1 and not before[update] >> reader & 1
        ]


@contextlib.contextmanager
def saving(folder):
    """A SavedGraph that has, at the end, the one graph that is compiled meanwhile."""
    graph, passes = SavedGraph(), os.environ.get("MS_DEV_DUMP_IR_PASSES")
    os.environ["MS_DEV_DUMP_IR_PASSES"] = "validate"
    mindspore.set_context(save_graphs=1, save_graphs_path=str(folder))
    try:
        yield graph
    finally:
        mindspore.set_context(save_graphs=0)
        os.environ.pop("MS_DEV_DUMP_IR_PASSES")
        if passes is not None:
            os.environ["MS_DEV_DUMP_IR_PASSES"] = passes
    (file,) = Path(folder).rglob("*_validate_*.ir")
    graph.read(file.read_text())
