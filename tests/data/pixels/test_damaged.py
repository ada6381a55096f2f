"""Half a picture is refused with the reason, or accepted with a note; what leaves the pixels right is accepted."""

from __future__ import annotations

import collections
import contextlib
import io
import re
import struct
import warnings
import zlib

import cv2
import numpy as np
import pytest
import simplejpeg
from PIL import Image, ImageFile

from ugatit_data.errors import DataError, RejectedImageError
from ugatit_data.pixels import policy
from ugatit_data.pixels.jpeg import Scratch
from ugatit_data.pixels.policy import decode, decode_stored

RANDOM = np.random.default_rng(0)
PIXELS = cv2.resize(RANDOM.integers(0, 256, (7, 6, 3), np.uint8), (80, 96), interpolation=cv2.INTER_CUBIC)
END = b"\xff\xd9"


def jpeg(*options, pixels=PIXELS):
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 90, *options])[1].tobytes()


def by_pillow(image, **options):
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **options)
    return buffer.getvalue()


def unusual_sampling():
    """Luma at 3 x 1: no name in libjpeg-turbo's own interface, but every decoder of libjpeg reads it."""
    data = bytearray(jpeg(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444, pixels=PIXELS[:8]))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = b"\0\x08\0\x18"  # 24 x 8: one unit of three luma blocks; the rest of the data is behind it
    data[at + 11] = 0x31
    return bytes(data)


BASELINE = jpeg()
KINDS = {
    "baseline": BASELINE,
    "optimised": jpeg(cv2.IMWRITE_JPEG_OPTIMIZE, 1),
    "restarts": jpeg(cv2.IMWRITE_JPEG_RST_INTERVAL, 2),
    "progressive": jpeg(cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "gray": jpeg(pixels=PIXELS[:, :, 0]),
    "cmyk": by_pillow(Image.fromarray(PIXELS).convert("CMYK")),
    "several scans": by_pillow(Image.fromarray(PIXELS), progressive=True, optimize=True, subsampling=0),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("end", ["", "end", "zeros", "zeros and end", "filling and end"])
def test_half_a_jpeg_is_refused_or_noted(kind, end):
    data = KINDS[kind]
    begin = data.index(b"\xff\xda")
    half = data[: begin + (len(data) - begin) // 2].rstrip(b"\xff")
    behind = {
        "": b"",
        "end": END,
        "zeros": bytes(9999),
        "zeros and end": bytes(9999) + END,
        "filling and end": b"\x5a" * 9999 + END,
    }
    file = half + behind[end]
    with pytest.raises(RejectedImageError, match="^(truncated|damaged) jpeg: "):
        decode(file)
    decoded = decode(file, lenient=True)
    assert decoded.pixels.shape == PIXELS.shape
    assert not decoded.plain
    assert any(note.startswith(("truncated: ", "damaged: ")) for note in decoded.notes)
    whole = decode(data).pixels.astype(int)
    if kind not in ("progressive", "several scans"):  # the upper part is there
        assert np.abs(decoded.pixels[:24] - whole[:24]).max() == 0
    assert np.abs(decoded.pixels[-8:] - whole[-8:]).max() > 0


@pytest.mark.parametrize("period", [2, 3, 7, 16, 100])
@pytest.mark.parametrize("kind", [*KINDS, "unusual"])
def test_a_cut_jpeg_that_a_pattern_fills_up_is_refused(kind, period):
    data = KINDS.get(kind) or unusual_sampling()
    begin, random = data.rindex(b"\xff\xda") + 14, np.random.default_rng(period)
    size = len(data) - begin if kind in KINDS else 24  # the rest is another picture's
    for part in (0.1, 0.4, 0.7):
        pattern = random.integers(0, 255, period, np.uint8).tobytes()
        cut = data[: begin + int(size * part)].rstrip(b"\xff")
        with pytest.raises(RejectedImageError, match="^damaged jpeg: "):
            decode(cut + pattern * 3000 + END)
        assert any(note.startswith("damaged: ") for note in decode(cut + pattern * 3000 + END, lenient=True).notes)


def test_bytes_left_over_behind_a_byte_that_no_encoder_ends_with_are_damage():
    """Encoders fill the last byte with ones, some with zeros; a decoder that has lost its way ends anywhere."""
    tried = 0
    for kind, data in KINDS.items():
        last = data[:-3] + bytes([data[-3] ^ 2]) + END
        if kind in ("progressive", "several scans"):  # there bits that are read may change no pixel
            continue
        if not np.array_equal(decode(data).pixels, decode(last, lenient=True).pixels):
            continue  # no bit of it is filling
        tried += 1
        for stray in (b"x" * 9, b"text" * 40):
            assert "bytes left over behind the picture data: " in str(decode(data[:-2] + stray + END).notes)
            with pytest.raises(RejectedImageError, match="^damaged jpeg: the picture ends in the middle of its data$"):
                decode(last[:-2] + stray + END)
    assert tried > 1


def test_sound_files_with_bytes_left_over_are_accepted():
    """Of any contents and kind; the scans of progressive ones end in bits that are read and change no pixel."""
    random = np.random.default_rng(5)
    for number in range(60):
        coarse = random.integers(0, 256, (4, 5, 3), np.uint8)
        pixels = cv2.resize(coarse, (48, 40), interpolation=cv2.INTER_CUBIC)
        pixels[40 - int(random.integers(0, 24)) :] = int(random.choice([0, 128, 255]))
        buffer = io.BytesIO()
        progressive = number % 3 > 0
        Image.fromarray(pixels).save(buffer, "JPEG", quality=int(random.integers(60, 96)), progressive=progressive)
        sound = buffer.getvalue()
        ones = sound[-3]
        for stray in (b"strayxxx" * 2, b"\r\n", random.bytes(12).replace(b"\xff", b"x")):
            decoded = decode(sound[:-2] + stray + END)
            np.testing.assert_array_equal(decoded.pixels, decode(sound).pixels)
        if not progressive and ones & 3 == 3:  # of an encoder that fills up with zeros
            zeros = sound[:-3] + bytes([ones & ~(ones ^ (ones + 1))]) + END
            if np.array_equal(decode(zeros, lenient=True).pixels, decode(sound).pixels):
                assert "bytes left over" in str(decode(zeros[:-2] + b"stray" * 3 + END).notes)


def test_damage_inside_is_refused_or_noted():
    """Whatever libjpeg warns of, but for stray bytes before the end."""
    random, found = np.random.default_rng(2), collections.Counter()
    for kind in ("baseline", "restarts", "progressive", "gray"):
        data = KINDS[kind]
        begin = data.index(b"\xff\xda") + 14
        for _ in range(150):
            file = bytearray(data)
            file[random.integers(begin, len(data) - 2)] ^= 1 << random.integers(8)
            try:
                simplejpeg.decode_jpeg(bytes(file), "GRAY" if kind == "gray" else "RGB")
                continue
            except ValueError as error:
                complaint = str(error)
            if "before marker 0xd9" in complaint:
                continue
            with pytest.raises(RejectedImageError, match="^(damaged|truncated|unsupported) jpeg: "):
                decode(bytes(file))
            found[re.sub("[0-9]+", "n", complaint)[:40]] += 1
            if complaint.startswith("Corrupt JPEG data"):
                assert any(map(re.compile("damaged: ").match, decode(bytes(file), lenient=True).notes))
    assert len(found) >= 3 and sum(found.values()) > 60, found


def test_a_progressive_file_without_its_last_scans_is_half_a_picture():
    data = KINDS["progressive"]
    begins = [at for at in range(len(data)) if data[at : at + 2] == b"\xff\xda"]
    assert len(begins) == 10
    for at in begins[1:]:
        file = data[:at] + END
        simplejpeg.decode_jpeg(file)  # libjpeg has no word for it
        with pytest.raises(RejectedImageError, match="damaged jpeg: scans are missing"):
            decode(file)
        assert decode(file, lenient=True).notes == ("damaged: scans are missing",)


def test_what_is_fatal_is_refused_always():
    tables, steps = BASELINE.index(b"\xff\xc4"), BASELINE.index(b"\xff\xdb")
    (length,) = np.frombuffer(BASELINE, ">u2", 1, steps + 2)
    size = BASELINE.index(b"\xff\xc0") + 5
    files = {
        "no quantisation": BASELINE[:steps] + BASELINE[steps + 2 + length :],
        "a table of nonsense": BASELINE[: tables + 5] + b"\xff" * 16 + BASELINE[tables + 21 :],
        "no pixels": BASELINE[:size] + bytes(4) + BASELINE[size + 4 :],
        "begins twice": BASELINE[:2] + BASELINE,
        "no picture": BASELINE[: BASELINE.index(b"\xff\xda")] + END,
    }
    for file in files.values():
        for lenient in (False, True):
            with pytest.raises(RejectedImageError, match="^(damaged|unsupported|truncated) jpeg: "):
                decode(file, lenient)


def test_what_is_fatal_after_a_warning_gives_no_pixels_that_nothing_filled():
    data = KINDS["progressive"]
    scans = [at for at in range(len(data)) if data[at : at + 2] == b"\xff\xda"]
    file = data[: scans[0] + 60] + data[scans[1] :]  # the first scan is cut, the second has no table
    with pytest.raises(ValueError, match="Huffman table 0x.. was not defined"):
        simplejpeg.decode_jpeg(file)
    with pytest.raises(RejectedImageError, match="damaged jpeg: Huffman table 0x.. was not defined"):
        decode(file, lenient=True)
    scratch = Scratch()
    scratch.pixels(*PIXELS.shape[:2])[:] = 77
    with pytest.raises(RejectedImageError, match="damaged stored"):
        decode_stored(np.frombuffer(file, np.uint8), scratch)


def with_stray(data, stray):
    """`stray` before every segment of the header but the first."""
    out, at = data[:2], 2
    while data[at + 1] != 0xDA:
        length = 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        out += data[at : at + length] + stray
        at += length
    return out + data[at:]


@pytest.mark.parametrize("stray", [b"\0", b"\0" * 500, b"editor's note", b"\xff\0\xff\0", b"\xff" * 5 + b"\1\2"])
def test_bytes_between_segments_leave_the_pixels_right(stray, capfd):
    for kind, data in KINDS.items():
        expected = decode(data)
        for file in (with_stray(data, stray), data[:-2] + stray + END):
            if file[-9:] == data[-2:] or kind == "restarts" and stray.startswith(b"\xff\0"):
                continue
            decoded = decode(file)
            np.testing.assert_array_equal(decoded.pixels, expected.pixels)
            if decoded.plain:  # 0xFF before a marker is filling, which nothing warns of
                simplejpeg.decode_jpeg(file)
            else:
                words = ("stray bytes left out: ", "bytes left over behind the picture data: ")
                assert any(note.startswith(words) for note in decoded.notes) or not expected.plain
    assert capfd.readouterr() == ("", "")


def test_values_that_no_decoder_heeds_are_corrected():
    jfif, scan = BASELINE.index(b"JFIF\0"), BASELINE.index(b"\xff\xda")
    length = int.from_bytes(BASELINE[scan + 2 : scan + 4], "big")
    last = scan + 2 + length
    files = [
        BASELINE[: jfif + 5] + b"\7" + BASELINE[jfif + 6 :],
        BASELINE[: last - 3] + b"\0\x3e\0" + BASELINE[last:],
    ]
    adobe = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0"
    files.append(BASELINE[:2] + adobe + b"\x09" + BASELINE[jfif + 14 :])
    for file in files:
        with pytest.raises(ValueError):
            simplejpeg.decode_jpeg(file)  # warns
        decoded = decode(file)
        np.testing.assert_array_equal(decoded.pixels, decode(BASELINE).pixels)
        assert decoded.notes == ("header values corrected",)
        # ... and what else is wrong is not hidden by it
        with pytest.raises(RejectedImageError, match="premature end"):
            decode(file[:-400] + END)


def test_an_unusual_sampling_is_read_and_checked():
    data = unusual_sampling()
    with pytest.raises(ValueError, match="subsampling"):
        simplejpeg.decode_jpeg(data)
    decoded = decode(data)
    with Image.open(io.BytesIO(data)) as image:
        np.testing.assert_array_equal(decoded.pixels, np.asarray(image))
    begin = data.index(b"\xff\xda") + 14
    half = data[: begin + 20] + END
    for behind in (b"", END, bytes(100) + END):
        with pytest.raises(RejectedImageError, match="damaged jpeg: the picture data end early"):
            decode(half + behind)
    assert decode(half, lenient=True).notes == ("damaged: the picture data end early",)


def test_a_stored_jpeg_that_was_accepted_once_is_decoded_once_without_a_word(capfd, monkeypatch):
    noisy = BASELINE[:-2] + b"stray" * 20 + END
    half = BASELINE[:-600] + END
    expected = [cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB) for data in (noisy, half)]
    assert "extraneous" in capfd.readouterr().err
    monkeypatch.setattr(policy, "_imdecode", lambda *_: pytest.fail("decoded again"))
    for data, pixels in zip((noisy, half), expected, strict=True):
        np.testing.assert_array_equal(decode_stored(np.frombuffer(data, np.uint8), Scratch()), pixels)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("compression", ["tiff_lzw", "group3", "group4", "tiff_ccitt"])
def test_a_damaged_tiff_is_refused_without_a_word(compression, capfd):
    """libtiff's words go to stderr, where the user's terminal is."""
    image = Image.fromarray(PIXELS)
    image = image if compression == "tiff_lzw" else image.convert("1")
    buffer = io.BytesIO()
    image.save(buffer, "TIFF", compression=compression)
    data, start = buffer.getvalue(), Image.open(buffer).tag_v2[273][0]
    for at in range(start + 2, start + 60, 6):
        with contextlib.suppress(RejectedImageError):
            decode(data[:at] + b"\xa5\x5a" + data[at + 2 :])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (24, 3, "colour type 2 of 3 bits"),
        (25, 5, "colour type 5 of 8 bits"),
        (28, 7, "methods 000007"),
        (25, 3, "no palette"),
    ],
)
def test_a_png_of_no_sense_is_named_before_libpng_speaks(place, value, words, capfd):
    data = bytearray(cv2.imencode(".png", PIXELS)[1].tobytes())
    data[place] = value
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    with pytest.raises(RejectedImageError, match=f"^damaged png: .*{words}"):
        decode(bytes(data))
    assert capfd.readouterr() == ("", "")


def test_whatever_a_decoder_does_is_the_files_reason(monkeypatch):
    def fail(*_):
        raise MemoryError("no room, none")

    monkeypatch.setattr(policy, "decode_source", fail)
    with pytest.raises(RejectedImageError, match="^the decoder failed: MemoryError: no room; none$"):
        decode(BASELINE)


def test_settings_of_the_process_change_nothing(monkeypatch):
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, "BMP")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(decode(buffer.getvalue()).pixels, PIXELS)
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(DataError, match="LOAD_TRUNCATED_IMAGES is set"):
        decode(buffer.getvalue())


@pytest.mark.parametrize("width", [-1, -24, -(1 << 31)])
def test_a_bmp_of_a_negative_width(width):
    """Rows may stand upside down; a negative width is no width, and a decoder takes it for 4 thousand million."""
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, "BMP")
    data = bytearray(buffer.getvalue())
    data[18:22] = struct.pack("<i", width)
    with pytest.raises(RejectedImageError, match=f"^damaged bmp: a width of {width} pixels$"):
        decode(bytes(data))
