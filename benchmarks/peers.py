"""Other data engines at the same work: pairs (A, B) of 256 px JPEGs, flip, resize to 286, random crop 256.

Each function gets the folder of the JPEGs, an empty folder for its own format, and the work. It returns an endless
iterator of batches (a, b): float32 NCHW in [-1, 1], or uint8 NHWC if its name says so. It imports what it needs; the
caller skips it if that is not installed.
"""

from __future__ import annotations

import itertools
import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from peer_work import Work, decode_cv2, forever, listed
from torch_peers import streaming, torch_cv2, torch_pil, webdataset


def grain(source: Path, own: Path, work: Work) -> Iterator:
    """grain over ArrayRecord, OpenCV in threads."""
    from array_record.python.array_record_data_source import ArrayRecordDataSource
    from array_record.python.array_record_module import ArrayRecordWriter
    from grain.python import MapDataset, ReadOptions

    cv2.setNumThreads(1)

    def domain(name: str, seed: int) -> Iterator:
        path = own / f"{name}.array_record"
        writer = ArrayRecordWriter(str(path), "group_size:1")
        for file in listed(source, name):
            writer.write(file.read_bytes())
        writer.close()
        records = MapDataset.source(ArrayRecordDataSource([str(path)])).seed(seed).shuffle().repeat()
        images = records.random_map(lambda data, random: decode_cv2(data, work, random))
        read = ReadOptions(num_threads=work.threads, prefetch_buffer_size=4 * work.batch_size)
        return iter(images.to_iter_dataset(read).batch(work.batch_size))

    return zip(domain("trainA", 1), domain("trainB", 2))  # noqa: B905


def spdl(source: Path, own: Path, work: Work) -> Iterator:
    """spdl's pipeline over the files, OpenCV in its threads: its own decoder needs FFmpeg's libraries of the system."""
    from spdl.pipeline import PipelineBuilder

    cv2.setNumThreads(1)
    order, random = np.random.default_rng(1), np.random.default_rng(2)

    def shuffled(name: str) -> Iterator[Path]:
        files = listed(source, name)
        return forever(lambda: (files[i] for i in order.permutation(len(files))))

    def decode(pair: tuple[Path, Path]) -> list[np.ndarray]:
        return [decode_cv2(path.read_bytes(), work, random) for path in pair]

    def stack(pairs: list[list[np.ndarray]]) -> tuple[np.ndarray, ...]:
        return tuple(np.stack(images) for images in zip(*pairs, strict=True))

    pairs = zip(shuffled("trainA"), shuffled("trainB"))  # noqa: B905
    builder = PipelineBuilder().add_source(pairs).pipe(decode, concurrency=work.threads)
    pipeline = builder.aggregate(work.batch_size).pipe(stack).add_sink(2).build(num_threads=work.threads)
    with pipeline.auto_stop():
        yield from pipeline.get_iterator()


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
            for file in listed(source, name):
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
            files = [str(path) for path in listed(source, name)]
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
        data = [path.read_bytes() for path in listed(source, name)]
        path = own / f"{name}-{fused}-{as_float}.mindrecord"
        write_shard(path, [len(one) for one in data], data)
        rows = ds.MindDataset([str(path)], columns_list=["image"], shuffle=True, num_parallel_workers=1)
        ratio = (work.img_size / work.resized) ** 2
        if fused:  # not quite the same work: crops begin at whole pixels of the source
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
    """ffcv with 286 px pixels stored, giving uint8 crops. Needs system packages: see CONTRIBUTING.md."""
    from ffcv.fields import RGBImageField
    from ffcv.fields.rgb_image import RandomResizedCropRGBImageDecoder
    from ffcv.loader import Loader, OrderOption
    from ffcv.transforms import RandomHorizontalFlip
    from ffcv.writer import DatasetWriter

    class Images:
        def __init__(self, name):
            self.files = listed(source, name)

        def __len__(self):
            return len(self.files)

        def __getitem__(self, index):
            image = cv2.imread(str(self.files[index]), cv2.IMREAD_COLOR_RGB)
            return (cv2.resize(image, (work.resized, work.resized)),)

    ratio = (work.img_size / work.resized) ** 2
    multiprocessing.set_start_method("fork", force=True)  # its writer gives its workers objects that cannot be pickled

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
        return forever(lambda: iter(loader))

    return zip(domain("trainA"), domain("trainB"))  # noqa: B905


PEERS = {
    "torch DataLoader + PIL, float32": torch_pil,
    "torch DataLoader + cv2, float32": torch_cv2,
    "webdataset + cv2, float32": webdataset,
    "mosaicml-streaming + cv2, float32": streaming,
    "grain + ArrayRecord + cv2, float32": grain,
    "spdl + cv2, float32": spdl,
    "tf.data, float32": tensorflow,
    "DALI CPU, float32": dali,
    "MindDataset stock ops, float32": mind_dataset,
    "MindDataset fused crop, uint8": mind_dataset_fused_uint8,
    "ffcv raw 286, uint8": ffcv_raw286_uint8,
}
PACKAGES = [
    "ugatit", "mindspore", "numpy", "opencv-python-headless", "xxhash", "numba", "torch", "Pillow", "webdataset",
    "mosaicml-streaming", "grain", "array_record", "spdl", "tensorflow", "tensorflow-cpu", "nvidia-dali-cuda120",
    "ffcv",
]  # fmt: skip
