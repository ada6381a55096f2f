"""Finds the weights in what other programs save: takes off the dictionaries and prefixes that they put around them."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np

PREFIXES = ("module.", "_orig_mod.")  # DataParallel and its kin, and torch.compile, put them before every name
DEPTH = 4  # dictionaries around the weights, at most: more are no training program's

Arrays = dict[str, np.ndarray]
Found = TypeVar("Found")


def arrays_of(value: Mapping[Any, Any]) -> Arrays:
    """The arrays of one dictionary by their names, without a prefix that all of them have."""
    arrays = {str(name): item for name, item in value.items() if isinstance(item, np.ndarray)}
    while prefix := next((p for p in PREFIXES if arrays and all(name.startswith(p) for name in arrays)), ""):
        arrays = {name.removeprefix(prefix): item for name, item in arrays.items()}
    return arrays


def search(
    value: Any, found_in: Callable[[dict], Found | None], where: str = "", depth: int = DEPTH
) -> Iterator[tuple[str, Found]]:
    """Each dictionary in which `found_in` finds something, from the outside in: where it stands, and what it is.

    Inside of a dictionary with something in it is nothing more. Where is a path of keys such as "model.state_dict".
    """
    if not isinstance(value, dict):
        return
    if (found := found_in(value)) is not None:
        yield where or "the file", found
    elif depth:
        for name, item in value.items():
            yield from search(item, found_in, f"{where}.{name}".lstrip("."), depth - 1)


def state_dict(value: Any) -> Arrays:
    """The first dictionary of arrays in `value`, or `value` itself; empty if there is none."""
    return next((arrays for _, arrays in search(value, lambda inner: arrays_of(inner) or None)), {})


def networks(value: Any, names: tuple[str, ...], sign: str) -> list[tuple[str, dict[str, Arrays]]]:
    """Each place of a file with networks: state_dicts by network's name; that of a network without a name is "".

    They are dictionaries called `names`, or arrays whose names begin so ("genA2B.DownBlock.1.weight"). An array called
    `sign` tells a network without a name. What else stands beside named ones is among them, under its own name.
    """

    def found_in(inner: dict) -> dict[str, Arrays] | None:
        if any(isinstance(inner.get(name), dict) for name in names):
            return {str(name): state_dict(item) for name, item in inner.items() if isinstance(item, dict)}
        arrays = arrays_of(inner)
        if sign in arrays:
            return {"": arrays}
        together: dict[str, Arrays] = {}
        for name, array in arrays.items():
            network, _, own = name.partition(".")
            together.setdefault(network, {})[own] = array
        if not set(names) & set(together):
            return None
        return {network: arrays_of(state) for network, state in together.items()}

    return list(search(value, found_in))
