"""Other data engines at the same work: pairs (A, B) of 256 px JPEGs, flip, resize to 286, random crop 256.

Each function gets the folder of the JPEGs, an empty folder for its own format, and the options, and returns an endless
iterator of batches (a, b): float32 NCHW in [-1, 1], or uint8 NHWC where its name says so. They import what they need;
one that is not installed is skipped by the caller.
"""

from __future__ import annotations

import dataclasses
import itertools
import multiprocessing
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np


@dataclasses.dataclass(frozen=True)
class Work:
    """What every candidate is to do."""

    batch_size: int
    img_size: int
    threads: int

    @property
    def resized(self) -> int:
        return self.img_size + 30


def _files(source: Path, name: str) -> list[Path]:
    return sorted((source / name).iterdir())


def _augment(image: np.ndarray, work: Work, random: np.random.Generator) -> np.ndarray:
    """Decoded uint8 HWC -> flipped, resized, cropped."""
    if random.random() < 0.5:
        image = cv2.flip(image, 1)
    image = cv2.resize(image, (work.resized, work.resized))
    x, y = random.integers(0, work.resized - work.img_size + 1, 2)
    return image[y : y + work.img_size, x : x + work.img_size]


def _to_float(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray((image.astype(np.float32) / 127.5 - 1).transpose(2, 0, 1))


def _decode_cv2(data: bytes, work: Work, random: np.random.Generator) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    return _to_float(_augment(image, work, random))


def _forever(make: Callable[[], Iterator]) -> Iterator:
    while True:
        yield from make()


def torch_pil(source: Path, own: Path, work: Work) -> Iterator:
    """torch's DataLoader, Pillow in worker processes."""
    from PIL import Image

    def read(path: Path, random: np.random.Generator) -> np.ndarray:
        image = Image.open(path).convert("RGB")
        if random.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        image = image.resize((work.resized, work.resized), Image.Resampling.BILINEAR)
        x, y = random.integers(0, work.resized - work.img_size + 1, 2).tolist()
        return _to_float(np.asarray(image.crop((x, y, x + work.img_size, y + work.img_size))))

    return _torch(source, work, read)


def torch_cv2(source: Path, own: Path, work: Work) -> Iterator:
    """torch's DataLoader, OpenCV in worker processes."""
    return _torch(source, work, lambda path, random: _decode_cv2(path.read_bytes(), work, random))


def _torch(source: Path, work: Work, read: Callable) -> Iterator:
    import torch.utils.data

    a, b = _files(source, "trainA"), _files(source, "trainB")

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
    return _forever(lambda: iter(loader))


def webdataset(source: Path, own: Path, work: Work) -> Iterator:
    """webdataset tars, OpenCV, in torch's worker processes."""
    import webdataset as wds

    for name in ("trainA", "trainB"):
        for shard in range(work.threads):
            with wds.TarWriter(str(own / f"{name}-{shard}.tar")) as tar:
                for index, path in enumerate(_files(source, name)[shard :: work.threads]):
                    tar.write({"__key__": f"{index:06d}", "jpg": path.read_bytes()})

    def domain(name: str) -> Iterator:
        cv2.setNumThreads(1)
        urls = [str(own / f"{name}-{shard}.tar") for shard in range(work.threads)]
        random = np.random.default_rng()
        stream = wds.WebDataset(urls, shardshuffle=False, empty_check=False).shuffle(100).to_tuple("jpg")
        stream = stream.map_tuple(lambda data: _decode_cv2(data, work, random)).batched(work.batch_size, partial=False)
        # each domain gets half of the threads, at least one
        workers = max(1, work.threads // 2)
        loader = wds.WebLoader(
            stream, batch_size=None, num_workers=workers, persistent_workers=True, multiprocessing_context="fork"
        )
        return _forever(lambda: iter(loader))

    return zip(domain("trainA"), domain("trainB"))  # noqa: B905  both are endless


def streaming(source: Path, own: Path, work: Work) -> Iterator:
    """mosaicml-streaming's MDS, OpenCV, in torch's worker processes."""
    import torch.utils.data
    from streaming import MDSWriter, StreamingDataset

    for name in ("trainA", "trainB"):
        with MDSWriter(out=str(own / name), columns={"image": "bytes"}) as writer:
            for path in _files(source, name):
                writer.write({"image": path.read_bytes()})

    class Images(StreamingDataset):
        def __getitem__(self, index):
            cv2.setNumThreads(1)
            return _decode_cv2(super().__getitem__(index)["image"], work, np.random.default_rng())

    def domain(name: str) -> Iterator:
        images = Images(local=str(own / name), shuffle=True, batch_size=work.batch_size)
        loader = torch.utils.data.DataLoader(
            images, work.batch_size, num_workers=max(1, work.threads // 2), persistent_workers=True, drop_last=True,
            multiprocessing_context="fork",
        )  # fmt: skip
        return _forever(lambda: iter(loader))

    return zip(domain("trainA"), domain("trainB"))  # noqa: B905


def grain(source: Path, own: Path, work: Work) -> Iterator:
    """grain over ArrayRecord, OpenCV in threads."""
    from array_record.python.array_record_data_source import ArrayRecordDataSource
    from array_record.python.array_record_module import ArrayRecordWriter
    from grain.python import MapDataset, ReadOptions

    cv2.setNumThreads(1)

    def domain(name: str, seed: int) -> Iterator:
        path = own / f"{name}.array_record"
        writer = ArrayRecordWriter(str(path), "group_size:1")
        for file in _files(source, name):
            writer.write(file.read_bytes())
        writer.close()
        records = MapDataset.source(ArrayRecordDataSource([str(path)])).seed(seed).shuffle().repeat()
        images = records.random_map(lambda data, random: _decode_cv2(data, work, random))
        read = ReadOptions(num_threads=work.threads, prefetch_buffer_size=4 * work.batch_size)
        return iter(images.to_iter_dataset(read).batch(work.batch_size))

    return zip(domain("trainA", 1), domain("trainB", 2))  # noqa: B905


def tensorflow(source: Path, own: Path, work: Work) -> Iterator:
    """tf.data over TFRecord, its own decoder."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(work.threads)
    tf.config.threading.set_inter_op_parallelism_threads(work.threads)

    def augment(data):
        image = tf.image.random_flip_left_right(tf.io.decode_jpeg(data, channels=3))
        image = tf.image.resize(image, (work.resized, work.resized))
        image = tf.image.random_crop(image, (work.img_size, work.img_size, 3))
        return tf.transpose(image / 127.5 - 1, (2, 0, 1))

    def domain(name: str):
        path = str(own / f"{name}.tfrecord")
        with tf.io.TFRecordWriter(path) as writer:
            for file in _files(source, name):
                writer.write(file.read_bytes())
        records = tf.data.TFRecordDataset(path).shuffle(1000).repeat()
        return records.map(augment, work.threads, deterministic=False).batch(work.batch_size)

    both = tf.data.Dataset.zip((domain("trainA"), domain("trainB"))).prefetch(2)
    return both.as_numpy_iterator()


def dali(source: Path, own: Path, work: Work) -> Iterator:
    """NVIDIA DALI on the CPU."""
    from nvidia.dali import fn, pipeline_def, types

    @pipeline_def(batch_size=work.batch_size, num_threads=work.threads, device_id=None)
    def both():
        outputs = []
        for name in ("trainA", "trainB"):
            files = [str(path) for path in _files(source, name)]
            data, _ = fn.readers.file(files=files, random_shuffle=True, name=name)
            image = fn.decoders.image(data, device="cpu", output_type=types.RGB)
            image = fn.resize(
                image, size=(work.resized, work.resized), interp_type=types.INTERP_LINEAR, antialias=False
            )
            outputs.append(
                fn.crop_mirror_normalize(
                    image,
                    crop=(work.img_size, work.img_size),
                    crop_pos_x=fn.random.uniform(range=(0, 1)),
                    crop_pos_y=fn.random.uniform(range=(0, 1)),
                    mirror=fn.random.coin_flip(),
                    mean=[127.5] * 3,
                    std=[127.5] * 3,
                    output_layout="CHW",
                )  # fmt: skip
            )
        return tuple(outputs)

    pipeline = both()
    pipeline.build()
    return (tuple(output.as_array() for output in pipeline.run()) for _ in itertools.count())


def _mind(source: Path, own: Path, work: Work, fused: bool, as_float: bool) -> Iterator:
    import mindspore.dataset as ds
    from mindspore.dataset import vision

    from ugatit_data.dataset.shards import write_shard

    ds.config.set_prefetch_size(2)

    def domain(name: str):
        data = [path.read_bytes() for path in _files(source, name)]
        path = own / f"{name}-{fused}-{as_float}.mindrecord"
        write_shard(path, [len(one) for one in data], data)
        rows = ds.MindDataset([str(path)], columns_list=["image"], shuffle=True, num_parallel_workers=1)
        ratio = (work.img_size / work.resized) ** 2
        if fused:  # not the same work: the crop's corner is a whole pixel of the source
            ops = [vision.RandomCropDecodeResize(work.img_size, scale=(ratio, ratio), ratio=(1.0, 1.0))]
        else:
            ops = [vision.Decode(), vision.Resize((work.resized, work.resized)), vision.RandomCrop(work.img_size)]
        ops.append(vision.RandomHorizontalFlip())
        if as_float:
            ops += [vision.Normalize([127.5] * 3, [127.5] * 3), vision.HWC2CHW()]
        rows = rows.map(ops, ["image"], num_parallel_workers=work.threads)
        return rows.batch(work.batch_size, drop_remainder=True, num_parallel_workers=1).rename(["image"], [name])

    rows = ds.zip((domain("trainA"), domain("trainB"))).repeat(1_000_000)
    iterator = rows.create_tuple_iterator(num_epochs=1, output_numpy=True)
    return (tuple(row) for row in iterator)


def mind_dataset(source: Path, own: Path, work: Work) -> Iterator:
    """MindDataset over MindRecord, its stock C++ operations."""
    return _mind(source, own, work, fused=False, as_float=True)


def mind_dataset_fused_uint8(source: Path, own: Path, work: Work) -> Iterator:
    """MindDataset, RandomCropDecodeResize: less exact work."""
    return _mind(source, own, work, fused=True, as_float=False)


def ffcv_raw286_uint8(source: Path, own: Path, work: Work) -> Iterator:
    """ffcv storing 286 px pixels, delivering uint8 crops. Needs system packages: see CONTRIBUTING.md."""
    from ffcv.fields import RGBImageField
    from ffcv.fields.rgb_image import RandomResizedCropRGBImageDecoder
    from ffcv.loader import Loader, OrderOption
    from ffcv.transforms import RandomHorizontalFlip
    from ffcv.writer import DatasetWriter

    class Images:
        def __init__(self, name):
            self.files = _files(source, name)

        def __len__(self):
            return len(self.files)

        def __getitem__(self, index):
            image = cv2.imread(str(self.files[index]), cv2.IMREAD_COLOR_RGB)
            return (cv2.resize(image, (work.resized, work.resized)),)

    ratio = (work.img_size / work.resized) ** 2
    multiprocessing.set_start_method("fork", force=True)  # its writer hands its workers what cannot be pickled

    def domain(name: str) -> Iterator:
        path = str(own / f"{name}.beton")
        DatasetWriter(path, {"image": RGBImageField(write_mode="raw")}, num_workers=1).from_indexed_dataset(
            Images(name)
        )
        crop = RandomResizedCropRGBImageDecoder((work.img_size, work.img_size), scale=(ratio, ratio), ratio=(1, 1))
        loader = Loader(
            path, batch_size=work.batch_size, num_workers=max(1, work.threads // 2), order=OrderOption.QUASI_RANDOM,
            pipelines={"image": [crop, RandomHorizontalFlip()]}, drop_last=True,
        )  # fmt: skip
        return _forever(lambda: iter(loader))

    return zip(domain("trainA"), domain("trainB"))  # noqa: B905


PEERS = {
    "torch DataLoader + PIL, float32": torch_pil,
    "torch DataLoader + cv2, float32": torch_cv2,
    "webdataset + cv2, float32": webdataset,
    "mosaicml-streaming + cv2, float32": streaming,
    "grain + ArrayRecord + cv2, float32": grain,
    "tf.data, float32": tensorflow,
    "DALI CPU, float32": dali,
    "MindDataset stock ops, float32": mind_dataset,
    "MindDataset fused crop, uint8": mind_dataset_fused_uint8,
    "ffcv raw 286, uint8": ffcv_raw286_uint8,
}
PACKAGES = [
    "ugatit", "mindspore", "numpy", "opencv-python-headless", "xxhash", "numba", "torch", "Pillow", "webdataset",
    "mosaicml-streaming", "grain", "array_record", "tensorflow", "tensorflow-cpu", "nvidia-dali-cuda120", "ffcv",
]  # fmt: skip
