"""The command: exit codes and what it prints."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from ugatit_data import convert, open_loader
from ugatit_data.conversion import leaks


@pytest.fixture
def source(tmp_path):
    for name in ("trainA", "trainB"):
        (tmp_path / "source" / name).mkdir(parents=True)
        for index in range(3):
            pixels = np.random.default_rng(index).integers(0, 256, (40, 40, 3), np.uint8)
            cv2.imwrite(str(tmp_path / "source" / name / f"{index}.jpg"), pixels)
    return tmp_path / "source"


@pytest.fixture
def dataset(source, tmp_path):
    convert(source, tmp_path / "data")
    return tmp_path / "data"


def test_a_sheet_for_a_folder_that_is_not_there(tool, tmp_path):
    code, _, complaint = tool("verify", tmp_path, "--sheet", tmp_path / "no" / "s.png")
    assert code == 2 and "there is no folder" in complaint and "make it first" in complaint


def test_sound_damaged_repaired(tool, dataset, source):
    code, said, _ = tool("verify", dataset, "--deep")
    assert code == 0 and "6 images, all as recorded, id " in said
    shard = dataset / "trainA-00000-of-00001.mindrecord"
    shard.write_bytes(shard.read_bytes()[:-1])
    code, said, complaint = tool("verify", dataset)
    assert code == 1
    assert f"{shard}: " in said
    assert "Run --repair SRC, or restore the file." in said
    assert "1 problems" in complaint
    code, said, _ = tool("verify", dataset, "--repair", source)
    assert code == 0 and "rewritten: trainA-00000-of-00001.mindrecord" in said


def test_peek_and_extract(tool, dataset, tmp_path):
    code, said, _ = tool("verify", dataset, "--peek", 2)
    assert code == 0 and len(said.splitlines()) == 4
    code, said, _ = tool("verify", dataset, "--extract", tmp_path / "out")
    assert code == 0 and "extracted 6 images" in said
    code, _, complaint = tool("verify", dataset, "--extract", tmp_path / "out")
    assert code == 2 and "exists already" in complaint


def test_bad_input_is_one_line(tool, dataset, tmp_path):
    code, _, complaint = tool("verify", tmp_path / "nothing")
    assert code == 2 and complaint.count("\n") == 1
    (dataset / "dataset.json").write_text("{}")
    code, _, complaint = tool("verify", dataset)
    assert code == 1 and "dataset.json: damaged" in complaint
    code, _, complaint = tool("verify", dataset, "--dep")
    assert code == 2 and complaint == "ugatit verify: --dep: unknown option: did you mean --deep?\n"


def test_options_that_exclude_each_other_and_a_source_that_is_not_there(tool, dataset, tmp_path):
    code, _, complaint = tool("verify", dataset, "--peek", 1, "--extract", tmp_path / "out")
    assert code == 2 and "--extract: not allowed with argument --peek" in complaint
    code, _, complaint = tool("verify", dataset, "--repair", tmp_path / "none")
    assert code == 2 and "none: no such source" in complaint


def test_what_the_system_refuses_is_one_line(tool, dataset, tmp_path):
    (tmp_path / "file").write_text("x")
    code, _, complaint = tool("verify", dataset, "--extract", tmp_path / "file" / "out")
    assert code == 1
    assert f"{tmp_path / 'file' / 'out'}: Not a directory" in complaint
    assert complaint.count("\n") == 1


def test_help_shows_no_default_that_says_nothing(tool):
    code, manual, _ = tool("verify", "--help")
    assert code == 0 and manual.startswith("usage: ugatit verify")
    assert "(default: image)" in manual
    assert "None" not in manual and "False" not in manual
    assert max(map(len, manual.splitlines())) <= 120


def test_a_process_ends_with_its_own_exit_code(run_tool, dataset):
    """Ten times: pyarrow's threads used to abort one process in three at its end."""
    for _ in range(10):
        done = run_tool("verify_dataset", dataset)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr


def test_test_pictures_that_are_train_pictures_are_named_and_are_no_damage(tool, load_tool, source, tmp_path, capsys):
    """Whatever the domain and the name; one that is rejected is in no training."""
    (source / "testA").mkdir()
    (source / "testB").mkdir()
    for name, data in {
        "testA/new.jpg": cv2.imencode(".jpg", np.zeros((40, 40, 3), np.uint8))[1].tobytes(),
        "testA/seen.jpg": (source / "trainA" / "1.jpg").read_bytes(),
        "testB/deep/other.jpg": (source / "trainB" / "2.jpg").read_bytes(),
        "testB/words.jpg": b"no picture",
        "trainB/words.jpg": b"no picture",
    }.items():
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_bytes(data)
    warning = (
        "2 of 3 test pictures stand in a train folder too, byte for byte (testA/seen.jpg = trainA/1.jpg, "
        "testB/deep/other.jpg = trainA/2.jpg): figures on them"
    )
    report = convert(source, tmp_path / "data")
    load_tool("convert_dataset")._print(report, tmp_path / "data")
    assert f"{warning} " in capsys.readouterr().err
    code, said, complaint = tool("verify", tmp_path / "data")
    assert code == 0 and f"ugatit verify: {warning}" in complaint
    assert "testA/seen.jpg: the same bytes as trainA/1.jpg\n" in said
    assert "testB/deep/other.jpg: the same bytes as trainA/2.jpg\n" in said
    assert "new.jpg" not in said and "words.jpg" not in said


def test_the_warning_names_the_first_few():
    pairs = [(f"testA/{i}.jpg", f"trainA/{i}.jpg") for i in range(5)]
    assert "(testA/0.jpg = trainA/0.jpg, testA/1.jpg = trainA/1.jpg, testA/2.jpg = trainA/2.jpg and 2 more)" in (
        leaks.warning(pairs, 9)
    )
    assert leaks.warning([], 9) == ""


def test_the_sheet_shows_what_the_loader_delivers_with_names(tool, load_tool, dataset, tmp_path):
    code, said, complaint = tool("verify", dataset, "--sheet", tmp_path / "sheet.png", "--img_size", "64x88")
    assert (code, said, complaint) == (0, f"contact sheet: {tmp_path / 'sheet.png'}\n", "")
    sheet = cv2.imread(str(tmp_path / "sheet.png"))[..., ::-1]
    cell = load_tool("verify_dataset").CELL
    assert sheet.shape[1] > 10 * cell
    with open_loader(dataset, batch_size=20, img_size=(64, 88), threads=1) as loader:
        batch, ids = next(loader), loader.sample_ids(0)
        assert loader.keys("b")[ids[1][7]] in (b"0.jpg", b"1.jpg", b"2.jpg")
    for domain, place in ((0, 0), (1, 7)):  # the first of A, and the eighth of B: row 1, column 2 of its block
        x, y = 4 + (5 * domain + place % 5) * (cell + 4), 24 + place // 5 * (cell + 4)
        shown = sheet[y : y + int(64 * cell / 88), x : x + cell]
        enlarged = cv2.resize(batch[domain][place], (cell, shown.shape[0]), interpolation=cv2.INTER_NEAREST)
        assert np.array_equal(shown, enlarged)
        caption = sheet[y + cell - 16 : y + cell, x : x + cell]
        assert (caption < 128).any() and (caption[:, cell // 2 :] == 255).all()  # "1.jpg" is short


@pytest.mark.parametrize("name", ["é" * 100 + ".jpg", "n\udcff" * 60, "x.jpg"])
def test_a_name_of_any_letters_and_length_fits_under_its_picture(load_tool, name):
    verify = load_tool("verify_dataset")
    for shape in ((10, 30, 3), (500, 300, 3), (1, 900, 3)):
        cell = verify.captioned(np.full(shape, 90, np.uint8), name)
        assert cell.shape == (verify.CELL, verify.CELL, 3)
        assert (cell == 90).all(2).any() and (cell[-verify.CAPTION :] < 80).any()


def test_a_sheet_that_cannot_be_written_or_is_enlarged(tool, source, dataset, tmp_path):
    code, _, complaint = tool("verify", dataset, "--sheet", tmp_path / "sheet")
    assert code == 2 and "sheet: no writer for ''" in complaint
    convert(source, tmp_path / "small", encoding="raw", stored_size=32)
    code, _, complaint = tool("verify", tmp_path / "small", "--sheet", tmp_path / "sheet.png", "--img_size", 32)
    assert code == 0 and complaint.count("\n") == 1
    assert "ugatit verify: images are stored at 32 pixels and enlarged to img_size + 30 = 62" in complaint
    code, _, complaint = tool("verify", tmp_path / "small", "--sheet", tmp_path / "s.png", "--peek", 1)
    assert code == 2 and "not allowed with argument" in complaint
