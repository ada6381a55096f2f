"""Peers that read in torch's worker processes: its DataLoader with Pillow and OpenCV, webdataset, MDS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from peer_work import Work, decode_cv2, forever, listed, to_float


def torch_pil(source: Path, own: Path, work: Work) -> Iterator:
    """torch's DataLoader, Pillow in worker processes."""
    from PIL import Image

    def read(path: Path, random: np.random.Generator) -> np.ndarray:
        image = Image.open(path).convert("RGB")
        if random.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        image = image.resize((work.resized, work.resized), Image.Resampling.BILINEAR)
        x, y = random.integers(0, work.resized - work.img_size + 1, 2).tolist()
        return to_float(np.asarray(image.crop((x, y, x + work.img_size, y + work.img_size))))

    return _torch(source, work, read)


def torch_cv2(source: Path, own: Path, work: Work) -> Iterator:
    """torch's DataLoader, OpenCV in worker processes."""
    return _torch(source, work, lambda path, random: decode_cv2(path.read_bytes(), work, random))


def _torch(source: Path, work: Work, read: Callable) -> Iterator:
    import torch.utils.data

    a, b = listed(source, "trainA"), listed(source, "trainB")

    class Pairs(torch.utils.data.Dataset):
        def __len__(self):
            return len(a)

        def __getitem__(self, index):
            cv2.setNumThreads(1)
            random = np.random.default_rng()
            return read(a[index], random), read(b[random.integers(len(b))], random)

    loader = torch.utils.data.DataLoader(
        Pairs(), work.batch_size, shuffle=True, num_workers=work.threads, persistent_workers=True, drop_last=True,
        multiprocessing_context="fork",
    )  # fmt: skip
    return forever(lambda: iter(loader))


def webdataset(source: Path, own: Path, work: Work) -> Iterator:
    """webdataset tars, OpenCV, in torch's worker processes."""
    import webdataset as wds

    for name in ("trainA", "trainB"):
        for shard in range(work.threads):
            with wds.TarWriter(str(own / f"{name}-{shard}.tar")) as tar:
                for index, path in enumerate(listed(source, name)[shard :: work.threads]):
                    tar.write({"__key__": f"{index:06d}", "jpg": path.read_bytes()})

    def domain(name: str) -> Iterator:
        cv2.setNumThreads(1)
        urls = [str(own / f"{name}-{shard}.tar") for shard in range(work.threads)]
        random = np.random.default_rng()
        stream = wds.WebDataset(urls, shardshuffle=False, empty_check=False).shuffle(100).to_tuple("jpg")
        stream = stream.map_tuple(lambda data: decode_cv2(data, work, random)).batched(work.batch_size, partial=False)
        # half of the threads for each domain, at least one
        workers = max(1, work.threads // 2)
        loader = wds.WebLoader(
            stream, batch_size=None, num_workers=workers, persistent_workers=True, multiprocessing_context="fork"
        )
        return forever(lambda: iter(loader))

    return zip(domain("trainA"), domain("trainB"))  # noqa: B905  both are endless


def streaming(source: Path, own: Path, work: Work) -> Iterator:
    """mosaicml-streaming's MDS, OpenCV, in torch's worker processes."""
    import torch.utils.data
    from streaming import MDSWriter, StreamingDataset

    for name in ("trainA", "trainB"):
        with MDSWriter(out=str(own / name), columns={"image": "bytes"}) as writer:
            for path in listed(source, name):
                writer.write({"image": path.read_bytes()})

    class Images(StreamingDataset):
        def __getitem__(self, index):
            cv2.setNumThreads(1)
            return decode_cv2(super().__getitem__(index)["image"], work, np.random.default_rng())

    def domain(name: str) -> Iterator:
        images = Images(local=str(own / name), shuffle=True, batch_size=work.batch_size)
        loader = torch.utils.data.DataLoader(
            images, work.batch_size, num_workers=max(1, work.threads // 2), persistent_workers=True, drop_last=True,
            multiprocessing_context="fork",
        )  # fmt: skip
        return forever(lambda: iter(loader))

    return zip(domain("trainA"), domain("trainB"))  # noqa: B905
