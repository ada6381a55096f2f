"""Small generated sources and the data sets made of them, once a session."""

from __future__ import annotations

import itertools
import os
import resource
from pathlib import Path

import cv2
import numpy as np
import pytest

from ugatit_data import convert

COUNTS = {"trainA": 13, "trainB": 9, "testA": 5, "testB": 3}


def picture(number: int, height: int, width: int) -> np.ndarray:
    """A smooth colour picture with some noise, uint8 (height, width, 3)."""
    random = np.random.default_rng(number)
    coarse = random.integers(0, 256, (6, 6, 3), np.uint8)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).astype(int)
    return np.clip(smooth + random.integers(-6, 7, smooth.shape), 0, 255).astype(np.uint8)


def write_source(root: Path, counts: dict[str, int] = COUNTS) -> Path:
    """Folders of JPEGs and PNGs of several sizes, some in subfolders."""
    number = 0
    for folder, count in counts.items():
        for index in range(count):
            number += 1
            path = (
                root / folder / ("deep" if index % 3 == 2 else "") / f"{index:03d}.{'png' if index % 4 == 3 else 'jpg'}"
            )
            path.parent.mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(path), picture(number, 60 + 7 * (index % 3), 64 + 5 * (index % 2)))
    return root


def convert_folder(source: Path, out: Path, **options) -> Path:
    convert(source, out, **options)
    return out


@pytest.fixture(name="convert_folder", scope="session")
def convert_folder_fixture():
    """convert_folder(source, out, **options) -> out."""
    return convert_folder


@pytest.fixture(name="write_source", scope="session")
def write_source_fixture():
    """write_source(root, counts) -> root."""
    return write_source


@pytest.fixture(scope="session")
def source(tmp_path_factory) -> Path:
    return write_source(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="session")
def datasets(source, tmp_path_factory) -> dict[str, Path]:
    """encoding -> a data set of `source`; stored squares have 78 pixels, for img_size 48 with its margin of 30."""
    root = tmp_path_factory.mktemp("datasets")
    return {
        encoding: convert_folder(source, root / encoding, encoding=encoding, stored_size=78, shards=shards)
        for encoding, shards in (("original", 2), ("jpeg", 1), ("raw", 3))
    }


@pytest.fixture(scope="session")
def dataset(datasets) -> Path:
    return datasets["original"]


@pytest.fixture
def few_descriptors():
    """few_descriptors(n): from now on the process may open n files more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    def allow(count: int) -> None:
        used = {int(name) for name in os.listdir("/dev/fd")}
        free = (number for number in range(soft) if number not in used)  # numbers below the limit, with holes
        resource.setrlimit(resource.RLIMIT_NOFILE, (next(itertools.islice(free, count, None)), hard))

    yield allow
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
