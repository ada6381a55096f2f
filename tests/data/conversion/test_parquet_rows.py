"""Parquet as it comes: large row groups, damaged ones, other types of Arrow's, odd rows, odd files."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ugatit_data import BadInputError, ConversionError, ParquetSource, convert, repair
from ugatit_data.conversion import rows
from ugatit_data.conversion.convert import carry_out
from ugatit_data.conversion.plan import make_plan
from ugatit_data.dataset.manifest import read_dataset, read_manifest
from ugatit_data.errors import RejectedImageError

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def struct(**fields):
    """A struct column of arrays, by field."""
    return pa.StructArray.from_arrays(list(fields.values()), list(fields))


def write(path, column, name="image", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({name: column}), path, **options)
    return path


@pytest.fixture
def pictures(source):
    """The bytes of 13 pictures."""
    return [path.read_bytes() for path in sorted((source / "trainA").rglob("*")) if path.is_file()]


@pytest.fixture
def root(pictures, tmp_path):
    """A source whose trainB is as it should be: the tests write trainA.parquet."""
    write(tmp_path / "hub" / "trainB.parquet", pa.array([{"bytes": pictures[0], "path": None}], IMAGE))
    return tmp_path / "hub"


def read_all(root, domain="a"):
    """What each row of trainA gives: its bytes, or why it is rejected."""
    source, given = ParquetSource(root), []
    for entry in source.entries()["train", domain]:
        try:
            given.append(source.read("train", domain, entry.key))
        except RejectedImageError as error:
            given.append(error.reason)
    return given


@pytest.fixture
def batches(monkeypatch):
    """How many rows each batch was asked for and held, while one of more than 4 rows fails as one over 2 GiB does."""
    real, seen = pq.ParquetFile.iter_batches, []

    def iter_batches(self, batch_size, **options):
        for batch in real(self, batch_size, **options):
            if batch.num_rows > 4:
                raise pa.ArrowNotImplementedError("Nested data conversions not implemented for chunked array outputs")
            seen.append((batch_size, batch.num_rows))
            yield batch

    def read_row_group(*arguments, **options):
        raise pa.ArrowNotImplementedError("Nested data conversions not implemented for chunked array outputs")

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", iter_batches)
    monkeypatch.setattr(pq.ParquetFile, "read_row_group", read_row_group)
    return seen


def test_a_row_group_of_any_size_is_read_in_batches_once(root, pictures, batches, monkeypatch):
    column = pa.array([{"bytes": data, "path": None} for data in pictures], IMAGE)
    write(root / "trainA.parquet", column, use_dictionary=False)
    assert pq.read_metadata(root / "trainA.parquet").num_row_groups == 1
    keys = [entry.key for entry in ParquetSource(root).entries()["train", "a"]]
    batches.clear()  # the listing's
    size = pq.read_metadata(root / "trainA.parquet").row_group(0).total_byte_size
    monkeypatch.setattr(rows, "_BATCH_BYTES", size * 4 // 13 + 1)
    assert [ParquetSource(root).read("train", "a", key) for key in keys] == pictures
    assert batches == [(4, 4)] * 3 + [(4, 1)]


def test_a_row_group_is_not_held_in_memory(root, monkeypatch):
    monkeypatch.setattr(rows, "_BATCH_BYTES", 1 << 20)
    monkeypatch.setattr(rows, "_BUFFER", 1 << 16)
    column = pa.array([{"bytes": bytes([i]) + os.urandom(100_000), "path": None} for i in range(160)], IMAGE)
    write(root / "trainA.parquet", column, compression="none", use_dictionary=False, write_batch_size=1)
    del column
    source, before = ParquetSource(root), pa.total_allocated_bytes()
    for number in (0, 80, 159):
        assert source.read("train", "a", b"trainA.parquet/%010d" % number)[0] == number
        assert pa.total_allocated_bytes() - before < 4 << 20  # of 15 MiB


def test_a_batch_that_is_too_large_is_read_row_by_row(root, pictures, batches):
    write(root / "trainA.parquet", pa.array([{"bytes": data, "path": "x"} for data in pictures], IMAGE))
    assert read_all(root) == pictures
    assert batches == [(1, 1)] * 13


def test_rows_in_any_order_are_the_rows_of_that_number(root, pictures, monkeypatch):
    monkeypatch.setattr(rows, "_BATCH_ROWS", 2)
    write(root / "trainA.parquet", pa.array([{"bytes": data, "path": None} for data in pictures], IMAGE),
          row_group_size=5)  # fmt: skip
    source = ParquetSource(root)
    for number in (12, 0, 6, 5, 4, 11, 1, 12, 3):
        assert source.read("train", "a", b"trainA.parquet/%010d" % number) == pictures[number]


@pytest.mark.parametrize(("at_once", "groups"), [(1, [0, 1, 2]), (2, [0, 1, 1, 2]), (1024, [0, 1, 1, 2])])
@pytest.mark.parametrize("kind", [IMAGE, pa.binary()], ids=["struct", "binary"])
def test_damage_costs_the_rest_of_its_row_group_and_is_met_once(root, pictures, monkeypatch, kind, at_once, groups):
    pages = {"compression": "snappy", "data_page_size": 1, "write_batch_size": 1, "use_dictionary": False}
    held = [{"bytes": data, "path": None} for data in pictures] if kind == IMAGE else pictures
    path = write(root / "trainA.parquet", pa.array(held, kind), row_group_size=5, **pages)
    data = bytearray(path.read_bytes())
    start = data.rindex(pictures[7][:4], 0, data.index(pictures[7][-60:-20]))  # in the second of three groups
    data[start - 16 : start] = b"\xff" * 16  # the head of the page and of what is compressed in it
    path.write_bytes(data)
    opened: list[int] = []
    real = pq.ParquetFile.iter_batches
    monkeypatch.setattr(
        pq.ParquetFile, "iter_batches", lambda self, *a, **o: opened.extend(o["row_groups"]) or real(self, *a, **o)
    )
    monkeypatch.setattr(rows, "_BATCH_ROWS", at_once)
    given = read_all(root)
    assert [each for each in given if isinstance(each, bytes)] == pictures[:7] + pictures[10:]
    assert given[7].startswith("unreadable: ") and given[7:10] == [given[7]] * 3
    assert opened == groups  # not once a row
    source, before = ParquetSource(root), len(opened)
    for number, expected in ((6, pictures[6]), (9, given[9]), (5, pictures[5]), (6, pictures[6])):
        try:
            assert source.read("train", "a", b"trainA.parquet/%010d" % number) == expected
        except RejectedImageError as error:
            assert error.reason == expected
    assert opened[before:] == [1, 1]  # to go back


def test_the_rows_before_a_damage_are_no_reason_to_copy_a_dictionary_for_each(root, pictures, monkeypatch):
    path = write(root / "trainA.parquet", pa.array(pictures).dictionary_encode(), compression="none")
    size = pq.read_metadata(path).row_group(0).column(0).total_uncompressed_size
    for most, fewest in ((rows._COPIES, 1), (13 * size // 4 + 1, 4)):
        monkeypatch.setattr(rows, "_COPIES", most)
        assert rows.Rows(path, "image")._fewest(0) == fewest


def test_rows_that_are_lost_hold_no_memory(root, monkeypatch):
    monkeypatch.setattr(rows, "_open", rows._Open())
    column = pa.array([bytes([i]) + os.urandom(1 << 20) for i in range(8)])
    pages = {"compression": "none", "use_dictionary": False, "data_page_size": 1, "write_batch_size": 1}
    path = write(root / "trainA.parquet", column, **pages)
    data = bytearray(path.read_bytes())
    at = data.index(column[6].as_py())
    data[at - 24 : at] = b"\xff" * 24
    path.write_bytes(data)
    del column
    source, before = ParquetSource(root), pa.total_allocated_bytes()
    assert source.read("train", "a", b"trainA.parquet/0000000005")[0] == 5
    with pytest.raises(RejectedImageError, match="unreadable: "):
        source.read("train", "a", b"trainA.parquet/0000000006")
    assert pa.total_allocated_bytes() - before < 1 << 20


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), IMAGE], ids=str)
def test_a_large_value_that_many_rows_repeat_takes_its_memory_once(root, kind, monkeypatch):
    monkeypatch.setattr(rows, "_open", rows._Open())
    value = os.urandom(1 << 20)
    held = [{"bytes": value, "path": "x"} if kind == IMAGE else value] * 200
    write(root / "trainA.parquet", pa.array(held, kind))
    del held
    source, before = ParquetSource(root), pa.total_allocated_bytes()
    for number in (0, 199):
        assert source.read("train", "a", b"trainA.parquet/%010d" % number) == value
        assert pa.total_allocated_bytes() - before < 32 << 20  # of 200 MiB


def test_a_column_named_as_a_field_is_not_taken_for_it(root, pictures):
    (root / "x.jpg").write_bytes(pictures[3])
    held = [{"bytes": pictures[1], "path": "x.jpg"}, {"bytes": None, "path": "x.jpg"}]
    other = {"image.bytes": pa.array(pictures[:2]), "image.path": pa.array(["gone.jpg"] * 2)}
    for columns in ({**other, "image": pa.array(held, IMAGE)}, {"image": pa.array(held, IMAGE), **other}):
        pq.write_table(pa.table(columns), root / "trainA.parquet")
        assert read_all(root) == [pictures[1], pictures[3]]
        assert not any(entry.absent for entry in ParquetSource(root).entries()["train", "a"])
    shutil.copy(root / "trainA.parquet", root / "trainB.parquet")
    source = ParquetSource(root, "image.bytes")
    assert source.read("train", "a", b"trainA.parquet/0000000000") == pictures[0]


BINARY = [pa.binary(), pa.large_binary(), pa.binary_view(), pa.dictionary(pa.int32(), pa.binary())]


@pytest.mark.parametrize("kind", BINARY, ids=str)
def test_every_form_of_bytes_is_read_as_a_column(root, pictures, kind):
    write(root / "trainA.parquet", pa.array([*pictures, None], kind), row_group_size=6)
    assert read_all(root) == [*pictures, "null row: neither bytes nor path"]


# pyarrow writes no views inside of a struct.
@pytest.mark.parametrize(
    "path", [pa.string(), pa.large_string(), pa.binary(), pa.dictionary(pa.int8(), pa.string())], ids=str
)
@pytest.mark.parametrize(
    "kind", [pa.binary(), pa.large_binary(), pa.dictionary(pa.int8(), pa.binary()), pa.null()], ids=str
)
def test_every_form_of_bytes_and_paths_is_read_in_a_struct(root, pictures, kind, path):
    (root / "x.jpg").write_bytes(pictures[1])
    held = [None, None] if pa.types.is_null(kind) else [pictures[0], None]
    names = [b"x.jpg"] * 2 if pa.types.is_binary(path) else ["x.jpg"] * 2
    write(root / "trainA.parquet", struct(bytes=pa.array(held, kind), path=pa.array(names, path)))
    assert read_all(root) == [held[0] or pictures[1], pictures[1]]


def invalid_text(values):
    """A string column as some writers make it: not UTF-8."""
    return pa.array(values, pa.binary()).view(pa.string())


ODD = {
    "NUL in the path": (struct(bytes=pa.nulls(1, pa.binary()), path=pa.array(["a\0b"])), "path with a NUL"),
    "a loop of links": (
        struct(bytes=pa.nulls(1, pa.binary()), path=pa.array(["round"])),
        "unreadable: Too many levels of symbolic links",
    ),
    "path outside": (struct(bytes=pa.nulls(1, pa.binary()), path=pa.array(["out/x"])), "path outside of the source"),
    "path int": (
        struct(bytes=pa.nulls(1, pa.binary()), path=pa.array([5])),
        "path of type int64: must be string",
    ),
    "path not UTF-8": (
        struct(bytes=pa.nulls(1, pa.binary()), path=invalid_text([b"\xff.jpg"])),
        "unreadable: No such file or directory",
    ),
    "path too long": (
        struct(bytes=pa.nulls(1, pa.binary()), path=pa.array(["x" * 300])),
        "unreadable: File name too long",
    ),
    "path a folder": (struct(bytes=pa.nulls(1, pa.binary()), path=pa.array([""])), "not a regular file"),
    "bytes as string": (
        struct(bytes=pa.array(["a"]), path=pa.array(["x"])),
        "bytes of type string: must be binary",
    ),
    "bytes as string, not UTF-8": (
        struct(bytes=invalid_text([b"\xff\xd8"]), path=pa.array(["x"])),
        "bytes of type string: must be binary",
    ),
    "bytes as list": (
        struct(bytes=pa.array([[255, 216]]), path=pa.array(["x"])),
        "bytes of type list<element: int64>: must be binary",
    ),
    "bytes as a number": (struct(bytes=pa.array([1.5]), path=pa.array(["x"])), "bytes of type double: must be binary"),
}


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_row_is_a_row_of_the_ledger(root, pictures, tmp_path, odd):
    (root / "round").symlink_to("round")
    (root / "out").symlink_to(tmp_path)
    column, reason = ODD[odd]
    write(root / "trainA-0.parquet", pa.array([{"bytes": pictures[0], "path": "x"}], IMAGE))
    write(root / "trainA-1.parquet", column)
    report = convert(ParquetSource(root), tmp_path / "out")
    assert (report.converted, report.rejected_keys) == (2, [("trainA/trainA-1.parquet/0000000000", reason)])


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (pa.array(["a"]), "no image column 'image': it is string, not binary or struct<bytes: binary"),
        (pa.array([[1]]), "no image column 'image': it is list<element: int64>"),
        (struct(bytes=pa.array(["a"]), path=pa.array([1])), "no image column 'image': it is struct<bytes: string"),
        (struct(data=pa.array([b"a"])), "no image column 'image': it is struct<data: binary>"),
        (struct(a=pa.array([b"a"]), bytes=pa.array([b"a"])).flatten()[0], None),
    ],
    ids=["string", "list", "neither", "other names", "binary"],
)
def test_a_column_that_can_hold_no_image_is_bad_input(root, column, words):
    write(root / "trainA.parquet", column)
    if words is None:
        assert read_all(root) == [b"a"]
        return
    with pytest.raises(BadInputError, match="trainA.parquet: .*Choose one with --column") as told:
        ParquetSource(root).entries()
    assert words in str(told.value)


def test_two_columns_of_one_name_are_bad_input(root):
    pq.write_table(pa.Table.from_arrays([pa.array([b"a"])] * 2, ["image", "image"]), root / "trainA.parquet")
    with pytest.raises(BadInputError, match="trainA.parquet: more than one column 'image'. Write the file again"):
        ParquetSource(root).entries()
    fields = [pa.field("bytes", pa.binary())] * 2
    write(root / "trainA.parquet", pa.StructArray.from_arrays([pa.array([b"a"])] * 2, fields=fields))
    with pytest.raises(BadInputError, match="more than one column 'image.bytes'"):
        ParquetSource(root).entries()


def test_hidden_copies_folders_and_second_names_are_read_once_or_not(root, pictures):
    good = write(root / "data" / "trainA.parquet", pa.array([{"bytes": pictures[0], "path": None}], IMAGE))
    for copy in (".ipynb_checkpoints/trainA-checkpoint.parquet", ".cache/hub/trainA.parquet", ".trainA.parquet"):
        (root / copy).parent.mkdir(parents=True, exist_ok=True)
        (root / copy).write_bytes(good.read_bytes())
    (root / "trainA-folder.parquet").mkdir()
    (root / "latest").symlink_to("data")
    assert [entry.key for entry in ParquetSource(root).entries()["train", "a"]] == [b"data/trainA.parquet/0000000000"]
    os.mkfifo(root / "trainA-pipe.parquet")
    with pytest.raises(BadInputError, match="trainA-pipe.parquet: no regular file. Remove it"):
        ParquetSource(root).entries()


def test_a_file_whose_name_is_not_utf_8_is_read(root, pictures):
    path = write(root / "x.parquet", pa.array(pictures))
    path.rename(os.fsdecode(os.fsencode(root) + b"/trainA-\xff.parquet"))
    assert read_all(root) == pictures


def test_one_file_for_both_domains_under_two_names_is_read_for_both(root):
    (root / "trainA.parquet").symlink_to("trainB.parquet")
    assert len(ParquetSource(root).entries()["train", "a"]) == 1


@pytest.mark.parametrize("what", ["the file", "its rows", "its contents", "a picture beside it"])
def test_what_is_gone_since_the_listing_is_resumed_not_rejected(root, pictures, tmp_path, what):
    (root / "x.jpg").write_bytes(pictures[0])
    path = write(
        root / "trainA.parquet", pa.array([{"bytes": None, "path": name} for name in ("x.jpg", "no.jpg")], IMAGE)
    )
    out = tmp_path / "out"
    plan = make_plan(ParquetSource(root), out)
    whole = path.read_bytes()
    {
        "the file": path.unlink,
        "its rows": lambda: write(path, pa.array([{"bytes": pictures[1], "path": None}], IMAGE)),
        "its contents": lambda: path.write_bytes(whole[:-9]),
        "a picture beside it": (root / "x.jpg").unlink,
    }[what]()
    with pytest.raises(ConversionError, match="trainA/trainA.parquet/000000000[01]: .*run the same command again"):
        carry_out(plan, out)
    path.write_bytes(whole)
    (root / "x.jpg").write_bytes(pictures[0])
    report = convert(ParquetSource(root), out)
    assert report.rejected_keys == [("trainA/trainA.parquet/0000000001", "unreadable: No such file or directory")]


def test_a_file_that_is_written_again_in_this_process_is_read_again(root, pictures):
    for data in pictures[:2]:
        write(root / "trainA.parquet", pa.array([{"bytes": data, "path": None}], IMAGE))
        assert read_all(root) == [data]


def test_repair_from_parquet(root, pictures, tmp_path):
    write(root / "trainA.parquet", pa.array([{"bytes": data, "path": None} for data in pictures], IMAGE))
    out = tmp_path / "out"
    convert(ParquetSource(root), out)
    sound = {path.name: path.read_bytes() for path in out.iterdir()}
    shard = next(out.glob("trainA*.mindrecord"))
    shard.write_bytes(sound[shard.name][:-1])
    assert repair(out, ParquetSource(root)) == [shard.name]
    assert {path.name: path.read_bytes() for path in out.iterdir()} == sound
    assert read_manifest(Path(out), read_dataset(out)).num_rows == 14
