"""Videos: each frame as it is shown, with its time and sound, whole or refused by name. PyAV makes the files."""

import gc
import io
import math
import os
import re
import struct
import sys
from fractions import Fraction

import cv2
import numpy as np
import pytest

from ugatit_data import BadInputError
from ugatit_data.errors import RejectedImageError
from ugatit_train.pictures import containers, files, video, videofile

av = pytest.importorskip("av", reason="PyAV is not installed: pip install 'ugatit[dev]'")

QUARTERS = np.zeros((48, 64, 3), np.uint8)  # each quarter has its own light: black, dark, light, white
QUARTERS[:24, 32:], QUARTERS[24:, :32], QUARTERS[24:, 32:] = 80, 160, 240


def moving(count, shape=(48, 64)):
    smooth = cv2.resize(np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8), shape[::-1])
    return [np.roll(smooth, 3 * i, 1) for i in range(count)]


def make(
    path, frames, codec="libx264", kind=None, rate=25, times=None, tick=None, pix="yuv420p", sound=None, muxer=None,
    **settings,
):  # fmt: skip
    """Write a video with FFmpeg's own defaults: B-frames, edit lists and all. `times` are in ticks."""
    options = {"options": {"qscale": "2", "flags": "+qscale"}} if codec in ("mpeg4", "mjpeg", "mpeg2video") else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        path.open("wb") as file,
        av.open(file, "w", kind or {"mkv": "matroska"}.get(path.suffix[1:], path.suffix[1:]), options=muxer) as out,
    ):
        stream = out.add_stream(codec, rate=rate, **options)
        context = stream.codec_context
        context.height, context.width, context.pix_fmt = *frames[0].shape[:2], pix
        context.time_base = tick or 1 / Fraction(rate)
        for name, value in settings.items():
            setattr(context, name, value)
        heard = out.add_stream(sound, rate=48000, layout="mono") if sound else None
        for i, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgba" if pixels.shape[2] == 4 else "rgb24")
            frame.pts, frame.time_base = times[i] if times else i, context.time_base
            out.mux(stream.encode(frame))
        if heard:
            tone = (8000 * np.sin(np.arange(48000) / 17)).astype(np.int16)
            samples = av.AudioFrame.from_ndarray(tone[None], format="s16", layout="mono")
            samples.rate, samples.pts, samples.time_base = 48000, 0, Fraction(1, 48000)
            out.mux(heard.encode(samples))
            out.mux(heard.encode())
        out.mux(stream.encode())
    return path


def copy(path, out):
    """A video through the reader and the writer; gives the times."""
    times = []
    with videofile.Writer(out, video.about(path)[0], path) as writer:
        for time, pixels in video.frames(path):
            writer.write(pixels, time)
            times.append(time)
        writer.finish()
    return times


def shown(path):
    return [pixels for _, pixels in video.frames(path)]


def refused(path, words):
    with pytest.raises(RejectedImageError, match=words):
        list(video.frames(path))


def near(a, b):
    """Whether the middles of the quarters are alike: a codec blurs edges."""
    a, b = (cv2.resize(x, (4, 4), interpolation=cv2.INTER_AREA).astype(int) for x in (a, b))
    return np.abs(a - b).max() < 12


def turned(path, a, b, c, d):
    """Set the display matrix of an MP4 file's track, in QuickTime's numbers: x' = a x + c y, y' = b x + d y."""
    identity = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    data = path.read_bytes()
    at = data.index(identity, data.index(b"tkhd"))
    numbers = [round(x * (1 << 16)) for x in (a, b, 0, c, d, 0, 0, 0)]
    path.write_bytes(data[:at] + struct.pack(">9i", *numbers, 1 << 30) + data[at + 36 :])
    return path


@pytest.mark.parametrize(
    ("matrix", "upright"),
    [
        ((1, 0, 0, 1), lambda x: x),
        ((0, 1, -1, 0), lambda x: np.rot90(x, -1)),  # a phone held upright: a quarter clockwise
        ((-1, 0, 0, -1), lambda x: np.rot90(x, 2)),
        ((0, -1, 1, 0), lambda x: np.rot90(x, 1)),
        ((-1, 0, 0, 1), np.fliplr),  # a camera that looks at its owner
        ((1, 0, 0, -1), np.flipud),
        ((0, 1, 1, 0), lambda x: x.swapaxes(0, 1)),
        ((0, -1, -1, 0), lambda x: np.rot90(x, 2).swapaxes(0, 1)),
    ],
)
def test_frames_are_upright(tmp_path, matrix, upright):
    path = turned(make(tmp_path / "x.mp4", [QUARTERS] * 2), *matrix)
    for frame in shown(path):
        assert frame.shape == upright(QUARTERS).shape and near(frame, upright(QUARTERS))
    copy(path, tmp_path / "copy.mp4")
    assert near(shown(tmp_path / "copy.mp4")[1], upright(QUARTERS))  # and not turned twice


def test_an_angle_that_is_no_quarter_is_refused(tmp_path):
    refused(turned(make(tmp_path / "x.mp4", [QUARTERS]), 0.7, 0.7, -0.7, 0.7), "turned by an angle that is no quarter")


@pytest.mark.parametrize(
    ("aspect", "shape"), [("4/3", (48, 85)), ("8/9", (54, 64)), ("64/45", (48, 91)), ("1", (48, 64))]
)
def test_pixels_are_square(tmp_path, aspect, shape):
    path = make(tmp_path / "x.mp4", [QUARTERS], sample_aspect_ratio=Fraction(aspect))
    assert shown(path)[0].shape[:2] == shape and near(shown(path)[0], QUARTERS)
    assert shown(turned(path, 0, 1, -1, 0))[0].shape[:2] == shape[::-1]


def test_huge_frames_are_refused(tmp_path, monkeypatch):
    path = make(tmp_path / "x.mp4", [QUARTERS], sample_aspect_ratio=Fraction(4, 3))
    monkeypatch.setattr(video, "MAX_PIXELS", 4000)
    refused(path, "too large: shown as 85 x 48 pixels, the limit is 4000")
    monkeypatch.setattr(video, "MAX_PIXELS", 3000)
    refused(path, "too large: 64 x 48 pixels, the limit is 3000")


@pytest.mark.parametrize(
    ("space", "kr", "kb"), [(1, 0.2126, 0.0722), (5, 0.299, 0.114), (9, 0.2627, 0.0593), (2, 0.299, 0.114)]
)
@pytest.mark.parametrize("full", [False, True])
def test_colours_are_those_that_the_file_names(space, kr, kb, full):
    y, cb, cr = 110, 100, 160
    frame = av.VideoFrame(16, 16, "yuv444p")
    for plane, value in zip(frame.planes, (y, cb, cr), strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    frame.colorspace, frame.color_range = space, 2 if full else 1
    light, red, blue = (y / 255 if full else (y - 16) / 219), (cr - 128), (cb - 128)
    r, b = (light + 2 * (1 - k) * x / (255 if full else 224) for k, x in ((kr, red), (kb, blue)))
    expected = np.array([r, (light - kr * r - kb * b) / (1 - kr - kb), b]) * 255
    assert np.abs(video._square(frame, Fraction(1)) - expected).max() < 2


def test_high_definition_that_names_no_colours_has_those_of_bt_709():
    low, high = (av.VideoFrame(16, size, "yuv444p") for size in (576, 720))
    for frame in (low, high):
        for plane, value in zip(frame.planes, (81, 90, 240), strict=True):
            plane.update(bytes([value]) * plane.buffer_size)
    assert video._square(low, Fraction(1))[0, 0, 1] < 3 and abs(int(video._square(high, Fraction(1))[0, 0, 1]) - 24) < 3


@pytest.mark.parametrize("high", [48, 720])
def test_what_is_written_has_the_colours_that_were_given(tmp_path, high):
    colours = [(200, 40, 40), (40, 200, 40), (40, 40, 200), (128, 128, 128)]
    frames = [np.full((high, 64, 3), colour, np.uint8) for colour in colours]
    with videofile.Writer(tmp_path / "x.mp4", 25) as writer:
        for frame in frames:
            writer.write(frame)
        writer.finish()
    assert np.abs(np.array(shown(tmp_path / "x.mp4"), int) - frames).max() < 6
    with av.open(str(tmp_path / "x.mp4")) as container:
        assert [frame.colorspace for frame in container.decode(video=0)] == [6 if high == 48 else 1] * 4
    if high == 48:  # OpenCV knows BT.601 only
        read, frame = cv2.VideoCapture(str(tmp_path / "x.mp4")).read()
        assert read and np.abs(frame[..., ::-1].astype(int) - frames[0]).max() < 6


def test_alpha_is_laid_over_white(tmp_path):
    pixels = np.dstack([QUARTERS, np.full((48, 64), 255, np.uint8)])
    pixels[:24, :32, 3] = 0
    frame = shown(make(tmp_path / "x.mov", [pixels], codec="png", pix="rgba"))[0]
    assert (frame[:24, :32] == 255).all() and np.array_equal(frame[24:], QUARTERS[24:])


@pytest.mark.parametrize(
    ("name", "rate", "tick", "times"),
    [
        ("x.mp4", Fraction(598917, 5000), Fraction(1, 598917), [0, 5000, 10000, 15000]),  # 119.7834 a second
        ("x.mp4", 1000, Fraction(1, 1000), [0, 1, 2, 3]),
        ("x.mp4", 30, Fraction(1, 90000), [0, 3000, 3001, 9000, 90000, 90007]),  # variable
        ("x.mkv", 30, Fraction(1, 1000), [0, 33, 67, 500, 533, 2000]),
        ("x.mp4", 25, Fraction(1, 25), [0, 1, 2, 3]),
    ],
)
def test_frames_keep_their_times(tmp_path, name, rate, tick, times):
    path = make(tmp_path / name, moving(len(times)), rate=rate, tick=tick, times=times)
    assert copy(path, tmp_path / "copy.mp4") == [time * tick for time in times]
    made = list(video.frames(tmp_path / "copy.mp4"))
    assert [time for time, _ in made] == [time * tick for time in times]
    for (_, frame), before in zip(made, shown(path), strict=True):
        assert np.abs(frame.astype(int) - before).mean() < 6
    with av.open(str(tmp_path / "copy.mp4")) as out:  # the last frame is shown for a while, too
        assert out.duration * Fraction(1, 10**6) > times[-1] * tick


def test_ticks_finer_than_mp4_has_are_rounded(tmp_path):
    with videofile.Writer(tmp_path / "x.mp4", 10**9) as writer:
        for time in (0, Fraction(1, 3), Fraction(1, 3) + Fraction(1, 10**9), 1):
            writer.write(QUARTERS, time)
        writer.finish()
    assert [round(time * 10**6) for time, _ in video.frames(tmp_path / "x.mp4")] == [0, 333333, 333334, 10**6]


def test_frames_that_were_left_out_of_an_avi_end_nothing(tmp_path):
    path = make(
        tmp_path / "x.avi", moving(4), codec="mpeg4", times=[0, 1, 4, 5], max_b_frames=0
    )  # empty chunks at 2 and 3
    assert copy(path, tmp_path / "copy.mp4") == [Fraction(time, 25) for time in (0, 1, 4, 5)]


def test_a_size_that_changes_becomes_the_first_one(tmp_path):
    parts = [make(tmp_path / f"{i}.h264", moving(3, shape)) for i, shape in enumerate([(48, 64), (24, 32)])]
    (tmp_path / "x.mp4").write_bytes(b"".join(part.read_bytes() for part in parts))
    assert [frame.shape for frame in shown(tmp_path / "x.mp4")] == [(48, 64, 3)] * 6


def test_no_frame_is_kept_longer_than_it_is_needed(tmp_path):
    """The garbage collector sees few objects here and would come late: a frame of a phone's is 12 MB."""
    path = make(tmp_path / "x.mp4", moving(10), sound="aac")
    gc.collect()
    gc.disable()
    try:
        copy(path, tmp_path / "copy.mp4")
        assert sum(type(found) is av.VideoFrame for found in gc.get_objects()) <= 1
    finally:
        gc.enable()


@pytest.mark.parametrize("name", [b"b\xff.mp4", b"http:x.mp4", b"-x.mp4", "é".encode() * 125 + b"x.mp4"])
def test_any_name_can_be_read_and_written(tmp_path, name):
    path = tmp_path / os.fsdecode(name)
    make(tmp_path / "x.mp4", moving(2)).rename(path)
    (tmp_path / "out").mkdir()
    copy(path, tmp_path / "out" / path.name)
    assert os.listdir(os.fsencode(tmp_path / "out")) == [name]
    assert len(shown(tmp_path / "out" / path.name)) == 2


def test_metadata_that_is_no_utf_8_is_no_fault(tmp_path):
    path = make(tmp_path / "x.avi", moving(2), codec="mpeg4")
    data = path.read_bytes()
    assert data.count(b"Lavf") == 1
    path.write_bytes(data.replace(b"Lavf", b"\xff\xfe\xfd\xfc"))
    assert len(shown(path)) == 2


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("empty.mp4", b"", "empty file"),
        ("text.mp4", b"no video, but some words\n" * 20, "damaged, or no video"),
        ("list.mp4", b"ffconcat version 1.0\nfile there.mp4\n", "damaged, or no video"),
        (
            "list.mov",
            b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nthere.mp4\n#EXT-X-ENDLIST\n",
            "damaged, or no video",
        ),
    ],
)
def test_what_is_no_video_is_refused_and_opens_no_other_file(tmp_path, monkeypatch, name, data, words):
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "there.mp4", moving(2))
    (tmp_path / name).write_bytes(data)
    refused(tmp_path / name, words)
    assert video.about(tmp_path / name) == (25, 0)


def test_a_video_that_does_not_tell_its_length(tmp_path):
    path = make(tmp_path / "live.mkv", moving(3), muxer={"live": "1"})
    assert video.about(path) == (25, math.inf) and len(shown(path)) == 3
    cv2.imwrite(str(tmp_path / "x.png"), QUARTERS)
    assert files.count_images(files.find_jobs([tmp_path])) == math.inf


def test_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    refused(tmp_path / "pipe.mp4", "not a regular file")
    refused(tmp_path / "gone.mp4", "unreadable: No such file")
    (tmp_path / "folder.mp4").mkdir()
    refused(tmp_path / "folder.mp4", "unreadable: Is a directory|not a regular file")


def test_sound_alone_is_no_video(tmp_path):
    with av.open(str(tmp_path / "x.mp4"), "w") as out:
        stream = out.add_stream("aac", rate=48000, layout="mono")
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.int16), format="s16", layout="mono")
        samples.rate = 48000
        out.mux(stream.encode(samples))
        out.mux(stream.encode())
    refused(tmp_path / "x.mp4", "it holds no moving pictures")


KINDS = [
    ("x.mp4", "libx264", None), ("x.mov", "mpeg4", None), ("x.mkv", "libx264", None), ("x.webm", "libvpx", None),
    ("x.avi", "mpeg4", None), ("x.avi", "mjpeg", None), ("x.wmv", "wmv2", "asf"), ("x.mpg", "mpeg2video", "mpeg"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "codec", "kind"), KINDS)
def test_a_cut_or_damaged_file_is_refused(tmp_path, name, codec, kind):
    pix = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    path = make(tmp_path / name, moving(30), codec, kind, pix=pix)
    data = path.read_bytes()
    assert len(shown(path)) == 30
    path.write_bytes(data + b"what some cameras leave behind the end" * 9)
    assert len(shown(path)) == 30
    middle = len(data) // 2
    path.write_bytes(data[:middle])
    refused(path, "truncated|damaged")
    path.write_bytes(data[:middle] + bytes(300) + data[middle + 300 :])
    refused(path, "truncated|damaged")
    if name not in ("x.wmv", "x.mpg"):  # there the last byte is none of a frame's
        path.write_bytes(data[:-1])
        refused(path, f"truncated: {len(data) - 1} bytes, where {len(data)} are declared")


BOX, FREE = struct.pack(">I", 24) + b"ftypisom" + bytes(12), struct.pack(">I", 16) + b"free" + bytes(8)
EBML = bytes.fromhex("1a45dfa3 84 42868101")


@pytest.mark.parametrize(
    ("data", "declared"),
    [
        (b"", 0),
        (b"nothing of all these", 0),
        (BOX + FREE, 40),
        (BOX + struct.pack(">I4sQ", 1, b"mdat", 1 << 33), 24 + (1 << 33)),  # 64 bits
        (BOX + struct.pack(">I4sI", 0, b"mdat", 0) + bytes(99), 24),  # up to the end
        (BOX + struct.pack(">I", 5000) + b"mdat", 5024),  # cut behind its name
        (BOX + struct.pack(">I", 5000) + b"junk" + bytes(99), 24),
        (BOX + struct.pack(">I", 7) + b"free" + bytes(99), 24),  # shorter than itself
        (b"RIFF" + struct.pack("<I", 1000) + b"AVI LIST" + bytes(20), 1008),
        (b"RIFF" + struct.pack("<I", 0) + b"AVI LIST" + bytes(20), 0),  # a recording that did not end
        (b"RIFF" + struct.pack("<I", 1000) + b"WAVEfmt " + bytes(20), 0),
        (EBML + bytes.fromhex("18538067 10000400") + bytes(99), 9 + 8 + 1024),
        (EBML + bytes.fromhex("18538067 0100000100000000") + bytes(99), 9 + 12 + (1 << 32)),
        (EBML + bytes.fromhex("18538067 01ffffffffffffff") + bytes(99), 9),  # live
        (bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c") + struct.pack("<Q", 60) + bytes(36)
         + bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c") + struct.pack("<Q", 900), 960),
    ],
)  # fmt: skip
def test_the_bytes_that_a_file_declares(data, declared):
    assert containers.declared_bytes(io.BytesIO(data)) == declared


def test_a_file_that_was_cut_between_two_frames_is_refused(tmp_path):
    """The index stands first and tells of 30 frames; FFmpeg gives 20 and says nothing."""
    path = tmp_path / "x.mp4"
    with av.open(str(path), "w", options={"movflags": "faststart"}) as out:
        stream = out.add_stream("mpeg4", rate=25)
        stream.codec_context.height, stream.codec_context.width = 48, 64
        for i, pixels in enumerate(moving(30)):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = i
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    data = path.read_bytes()
    with av.open(io.BytesIO(data)) as container:
        end = next(packet.pos for i, packet in enumerate(container.demux(video=0)) if i == 20)
    path.write_bytes(data[:end])
    refused(path, f"truncated: {end} bytes, where {len(data)} are declared")
    length = data.index(b"mdat") - 4
    hidden = data[:length] + struct.pack(">I", end - length) + data[length + 4 : end]  # as if no more had been written
    path.write_bytes(hidden)
    refused(path, r"truncated: 0.80 s of the 1.20 s that are declared")


def test_a_fragmented_file_that_was_cut_is_refused(tmp_path):
    path = tmp_path / "x.mp4"
    with av.open(str(path), "w", options={"movflags": "frag_every_frame+empty_moov"}) as out:
        stream = out.add_stream("libx264", rate=25)
        stream.codec_context.height, stream.codec_context.width = 48, 64
        for pixels in moving(10):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        out.mux(stream.encode())
    data = path.read_bytes()
    assert len(shown(path)) == 10
    path.write_bytes(data[: data.rindex(b"mdat") + 8])
    refused(path, "truncated: .* bytes, where .* are declared")


@pytest.mark.parametrize(
    ("name", "sound"), [("x.mp4", "aac"), ("x.mkv", "ac3"), ("x.mkv", "libopus"), ("x.avi", "libmp3lame")]
)
def test_sound_is_copied_where_mp4_takes_it(tmp_path, name, sound):
    path = make(tmp_path / name, moving(25), "mpeg4" if name == "x.avi" else "libx264", sound=sound)
    copy(path, tmp_path / "copy.mp4")
    assert packets(tmp_path / "copy.mp4") == packets(path)


def packets(path):
    with av.open(str(path)) as container:
        return [
            (round(float(packet.pts * packet.time_base), 2), bytes(packet))
            for packet in container.demux(audio=0)
            if packet.size
        ]


@pytest.mark.parametrize(("name", "sound"), [("x.mov", "pcm_s16le"), ("x.mkv", "pcm_f32le"), ("x.mpg", "mp2")])
def test_other_sound_becomes_aac_and_sounds_the_same(tmp_path, name, sound):
    path = make(
        tmp_path / name,
        moving(25),
        "mpeg2video" if name == "x.mpg" else "libx264",
        {"x.mpg": "mpeg"}.get(name),
        sound=sound,
    )
    copy(path, tmp_path / "copy.mp4")
    with av.open(str(tmp_path / "copy.mp4")) as container:
        heard = container.streams.audio[0]
        assert heard.codec_context.name == "aac"
        wave = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(heard)])
    assert 47000 < len(wave) < 51000
    spectrum = np.abs(np.fft.rfft(wave[8000:40000]))
    assert abs(spectrum.argmax() * 48000 / 32000 - 48000 / 17 / (2 * np.pi)) < 3  # Hz
    assert 0.8 < np.abs(wave[8000:40000]).max() * 32768 / 8000 < 1.2


def test_sound_that_starts_before_the_pictures_still_does(tmp_path):
    path = make(
        tmp_path / "x.mp4", moving(10), tick=Fraction(1, 1000), times=[500 + 40 * i for i in range(10)], sound="aac"
    )
    assert copy(path, tmp_path / "copy.mp4")[0] == Fraction(1, 2)
    assert next(video.frames(tmp_path / "copy.mp4"))[0] == Fraction(1, 2)
    assert abs(packets(tmp_path / "copy.mp4")[0][0]) < 0.03


def test_a_full_disk_leaves_no_file(tmp_path):
    path = make(tmp_path / "x.mp4", moving(10), sound="aac")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "x.mp4.partial").symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"No space left on device: .*out/x\.mp4"):
        copy(path, tmp_path / "out" / "x.mp4")
    assert os.listdir(tmp_path / "out") == []


def test_frames_that_no_video_can_have(tmp_path):
    with (
        pytest.raises(RejectedImageError, match="1 x 48 pixels|0 x 48 pixels"),
        videofile.Writer(tmp_path / "x.mp4", 25) as writer,
    ):
        writer.write(QUARTERS[:, :1])
    assert os.listdir(tmp_path) == []
    wide = np.zeros((16, 20000, 3), np.uint8)
    reason = "FFmpeg cannot write it: Generic error in an external library$"
    with pytest.raises(RejectedImageError, match=reason), videofile.Writer(tmp_path / "x.mp4", 25) as writer:
        writer.write(wide)
    assert os.listdir(tmp_path) == []
    with videofile.Writer(tmp_path / "x.mp4", 25) as writer:
        writer.write(QUARTERS[:47, :63])
        writer.finish()
    assert shown(tmp_path / "x.mp4")[0].shape == (46, 62, 3)


def test_without_pyav_a_video_is_refused_with_the_way_to_install_it(tmp_path, monkeypatch):
    make(tmp_path / "in" / "x.mp4", moving(2))
    monkeypatch.setitem(sys.modules, "av", None)
    install = re.escape("pip install 'ugatit[video]'")
    refused(tmp_path / "in" / "x.mp4", install)
    with pytest.raises(BadInputError, match=f"x.mp4: a video needs PyAV .*{install}"):
        files.find_jobs([tmp_path / "in"])
    cv2.imwrite(str(tmp_path / "in" / "y.png"), QUARTERS)
    assert files.count_images(files.find_jobs([tmp_path / "in"])) == 1


def test_a_length_that_no_file_has_is_no_crash():
    head = b"\0\0\0\x18ftypmp42" + bytes(12)
    for length in (1 << 62, (1 << 64) - 1):
        file = io.BytesIO(head + b"\0\0\0\x01moov" + length.to_bytes(8, "big") + bytes(80))
        assert sum(containers._lengths(file)) == len(head) + length
