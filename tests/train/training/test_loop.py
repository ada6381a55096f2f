"""The loop: an interrupted run equals an uninterrupted one, what is not finite stops it, what it writes.

One step is compiled for the whole module: `build_step` gives it back with its first weights.
"""

import contextlib
import dataclasses
import errno
import hashlib
import json
import os
import re
import shutil
import signal
import threading
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest

from ugatit_data import convert
from ugatit_train.evaluation import evaluate, judging
from ugatit_train.forms import CPU
from ugatit_train.inference.generator import load_generator
from ugatit_train.networks.ugatit import initialise
from ugatit_train.options import arguments, config, saved
from ugatit_train.training import best, checkpoint, evaluations, log, loop, runfolder
from ugatit_train.training.terms import TERMS, loss_names

STEPS = 30
LOSS_NAMES = loss_names(TERMS)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Seven images of domain A, five of B, three and two to test, 70 pixels."""
    root = tmp_path_factory.mktemp("loop")
    random = np.random.default_rng(0)
    for folder, count in {"trainA": 7, "trainB": 5, "testA": 3, "testB": 2}.items():
        (root / "pictures" / folder).mkdir(parents=True)
        for i in range(count):
            coarse = random.integers(0, 256, (5, 5, 3), np.uint8)
            cv2.imwrite(str(root / "pictures" / folder / f"{i}.png"), cv2.resize(coarse, (70, 70)))
    convert(root / "pictures", root / "dataset", workers=1)
    return root / "dataset"


@pytest.fixture(scope="module")
def options(dataset):
    return config.Options(
        data_path=str(dataset),
        output_path="",
        iteration=STEPS,
        save_freq=17,
        tensorboard=find_spec("tensorboardX") is not None,
        print_freq=15,
        keep=5,
        light=True,
        ch=4,
        n_res=1,
        n_dis=4,
        img_size=32,
    )


@pytest.fixture(scope="module")
def compiled(options):
    return loop.build_step(options, options.schedule(7))


@pytest.fixture(autouse=True)
def shared_step(monkeypatch, compiled, options):
    def build(asked, _schedule, _world):
        free = ("output_path", "resume", "load_path", "change_batch", "enable_profiling", "jit_level", "eval_freq")
        assert dataclasses.replace(asked, **{name: getattr(options, name) for name in (*free, "seed")}) == options
        for parameter in compiled.get_parameters():
            if parameter.name.startswith("adam_") or parameter.name == "step":
                parameter.set_data(parameter.init_data() * 0)
            elif parameter.name.endswith((".rho", ".gamma", ".beta")):
                start = {"rho": 0.9 if ".adares." in parameter.name else 0.0, "gamma": 1.0, "beta": 0.0}
                fill = start[parameter.name.rsplit(".", 1)[1]]
                parameter.set_data(parameter.init_data() * 0 + fill)
        initialise(compiled, options.seed)
        return compiled

    monkeypatch.setattr(loop, "build_step", build)


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    return tmp_path_factory.mktemp("straight") / "run"


def losses(run) -> list[list[float]]:
    return [[line[name] for name in ("step", *LOSS_NAMES)] for line in log.read_metrics(run / "metrics.jsonl")]


def weights_hash(run, step=STEPS) -> dict[str, str]:
    folder = run / "checkpoints" / f"step-{step:08d}"
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.glob("*.safetensors")}


def run_straight(options, straight):
    if not straight.exists():
        loop.train(dataclasses.replace(options, output_path=str(straight)))
    return straight


def test_a_run_leaves_what_it_should(options, straight):
    run = run_straight(options, straight)
    assert sorted(path.name for path in run.iterdir()) == [
        "checkpoints", "index.html", "metrics.jsonl", "options.yaml", "samples",
        *["tensorboard"] * options.tensorboard, "train.log",
    ]  # fmt: skip
    assert [path.name for path in sorted((run / "checkpoints").iterdir())] == ["step-00000017", "step-00000030"]
    assert sorted(path.name for path in (run / "samples").iterdir()) == [
        "00000015_a2b.png", "00000015_b2a.png", "00000030_a2b.png", "00000030_b2a.png",
    ]  # fmt: skip
    grid = cv2.imread(str(run / "samples" / "00000030_b2a.png"))
    assert grid.shape == (7 * 32, 2 * 32, 3)  # seven rows, the two images of testB
    text = (run / "train.log").read_text()
    assert "30 steps at 32 x 32 px, batch 1, light generator (ch 4) on CPU in float32: about" in text
    assert "compiling the step" in text or "its graph was in the compile cache" in text
    assert "measured: " in text and "s a step; the other 19 take" in text
    assert re.search(r"\[30/30\] time per iter: .*, mean: \d\.\d+s, left: 0 s\n", text)
    page = (run / "index.html").read_text()
    assert '<body class="finished">' in page and '"steps": [15, 30]' in page
    lines = log.read_metrics(run / "metrics.jsonl")
    assert [line["step"] for line in lines] == list(range(1, STEPS + 1))
    assert {"data_wait_s", "compile_s", "step_s", *LOSS_NAMES} <= set(lines[0])
    assert lines[0]["compile_s"] > 1 > max(line["compile_s"] for line in lines[1:])
    assert arguments.load(run / "options.yaml") == dataclasses.replace(options, output_path=str(run))


def test_the_step_says_what_its_losses_are_called(options, tmp_path, compiled, monkeypatch):
    """A step may have terms of its own: `Step(..., terms=...)`."""
    names = tuple(name.replace("g_cam", "g_own") for name in compiled.loss_names)
    monkeypatch.setattr(compiled, "loss_names", names)
    monkeypatch.setattr(loop, "_save", lambda *_: (_ for _ in ()).throw(loop.TrainingError("far enough")))
    monkeypatch.setattr(loop, "LONGEST_UNSAVED_S", 0.0)
    with pytest.raises(loop.TrainingError, match="far enough"):
        loop.train(dataclasses.replace(options, output_path=str(tmp_path / "run")))
    [line] = log.read_metrics(tmp_path / "run" / "metrics.jsonl")
    assert {"g_own", "g_cycle", "d_loss"} <= set(line) and "g_cam" not in line


def test_it_trains_in_a_thread_too_where_no_signal_comes():
    def ask():
        with loop._signals() as got:
            found.append(got)

    found = []
    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert found == [[]] and signal.getsignal(signal.SIGTERM) is before


def test_signals_that_were_ignored_at_the_start_stay_so():
    """nohup ignores SIGHUP."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with loop._signals() as got:
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN and got == []
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_terminal_that_closes_sends_several_signals_and_none_is_a_second_one():
    with loop._signals() as got:
        for number in (signal.SIGHUP, signal.SIGHUP, signal.SIGTERM, signal.SIGHUP):
            os.kill(os.getpid(), number)
        assert got == [signal.SIGTERM]
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("pipe_first", [True, False])
def test_ctrl_c_in_a_pipe_is_told_in_any_order(pipe_first, number, caplog):
    """It ends the reader of `train | tee` too; a closed pipe alone is no reason to speak."""
    with loop._signals() as got:
        if pipe_first:
            loop._unread(got)()
        os.kill(os.getpid(), number)
        if not pipe_first:
            loop._unread(got)()
        assert "interrupted: saving after this step" in caplog.messages
        assert isinstance(loop._interrupted(3, got, Path("run")), loop.InterruptedTraining)
        if number == signal.SIGHUP:
            os.kill(os.getpid(), signal.SIGTERM)  # the same terminal's
            assert sorted(got) == [signal.SIGPIPE, signal.SIGTERM]
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
    assert isinstance(loop._interrupted(3, [signal.SIGPIPE], Path("run")), BrokenPipeError)


def test_profiling_leaves_its_files_and_the_losses_as_they_are(options, straight, small_ceilings, tmp_path):
    loop.train(dataclasses.replace(options, output_path=str(tmp_path / "run"), enable_profiling=True))
    profile = tmp_path / "run" / "profile"
    kinds = {"json", "md", "parquet", "png"}
    names = {"mindspore", "trace.json", *(f"operations.{kind}" for kind in kinds)}
    assert {path.name for path in profile.iterdir()} == names
    assert "| MatMul |" in (profile / "operations.md").read_text()
    assert losses(tmp_path / "run") == losses(run_straight(options, straight))


def test_a_profile_that_cannot_be_read_ends_no_run(options, tmp_path, monkeypatch):
    def read(folder):
        raise loop.recorded.ProfileError("its lists differ")

    monkeypatch.setattr(loop.recorded, "read_cpu", read)
    loop.train(dataclasses.replace(options, output_path=str(tmp_path / "run"), enable_profiling=True))
    assert len(losses(tmp_path / "run")) == STEPS
    assert "no profile: its lists differ" in (tmp_path / "run" / "train.log").read_text()


def test_a_generator_is_loaded_from_the_run(options, straight):
    run = run_straight(options, straight)
    for direction, name in (("a2b", "genA2B"), ("b2a", "genB2A")):
        generator, trained, _ = load_generator(run, direction, CPU)
        assert (trained.ch, trained.light) == (4, True)
        from safetensors.numpy import load_file

        saved = load_file(run / "checkpoints" / f"step-{STEPS:08d}" / f"{name}.safetensors")
        found = {f"{name}.{key}": parameter.asnumpy() for key, parameter in generator.parameters_and_names()}
        assert found.keys() == saved.keys()
        assert all((found[key] == saved[key]).all() for key in saved)


def test_a_closed_terminal_and_a_closed_pipe_save_as_well(options, straight, tmp_path, monkeypatch):
    run_straight(options, straight)
    write = log.Metrics.write

    def write_and(action):
        def write_then(self, step, values):
            write(self, step, values)
            if step == 2:
                action()

        return write_then

    hung_up, piped = (dataclasses.replace(options, output_path=str(tmp_path / name)) for name in ("hung up", "piped"))
    with monkeypatch.context() as patch:
        patch.setattr(log.Metrics, "write", write_and(lambda: os.kill(os.getpid(), signal.SIGHUP)))
        with pytest.raises(loop.InterruptedTraining, match="interrupted: saved step 3: .*--resume"):
            loop.train(hung_up)
    with monkeypatch.context() as patch:
        patch.setattr(log.Metrics, "write", write_and(lambda: patch.setattr(log.tqdm, "write", closed)))
        with pytest.raises(BrokenPipeError, match="stdout is closed; saved step 3"):
            loop.train(piped)
    assert "stdout is closed: saving after this step" in (tmp_path / "piped" / "train.log").read_text()
    for run in (hung_up, piped):
        assert losses(Path(run.output_path)) == losses(straight)[:3]
        assert checkpoint.latest_good(Path(run.output_path) / "checkpoints")[1]["step"] == 3


def closed(_text):
    raise BrokenPipeError(errno.EPIPE, "Broken pipe")


@pytest.mark.parametrize(("number", "stop_at"), [(signal.SIGTERM, 11), (signal.SIGINT, 17)])
def test_a_signal_saves_and_resume_gives_the_same_losses_and_weights(
    options, straight, tmp_path, monkeypatch, number, stop_at
):
    run_straight(options, straight)
    run = tmp_path / "run"
    write = log.Metrics.write

    def write_and_signal(self, step, values):
        write(self, step, values)
        if step == stop_at - 1:  # the signal comes between two steps, and is served with the next
            os.kill(os.getpid(), number)

    with monkeypatch.context() as patch:
        patch.setattr(log.Metrics, "write", write_and_signal)
        with pytest.raises(loop.InterruptedTraining, match=f"interrupted: saved step {stop_at}: .*--resume"):
            loop.train(dataclasses.replace(options, output_path=str(run)))
    assert losses(run) == losses(straight)[:stop_at]
    assert f"interrupted: saved step {stop_at}" in (run / "index.html").read_text()
    loop.train(dataclasses.replace(options, output_path=str(run), resume=True))
    assert losses(run) == losses(straight)
    assert '<body class="finished">' in (run / "index.html").read_text()
    assert weights_hash(run) == weights_hash(straight)


def test_a_kill_after_step_17_and_a_damaged_newest_checkpoint(options, straight, tmp_path, caplog):
    """As after kill -9 at step 30: step 17 is the last checkpoint, the metrics are ahead of it."""
    run = tmp_path / "run"
    shutil.copytree(run_straight(options, straight), run)
    damaged = run / "checkpoints" / f"step-{STEPS:08d}" / "genB2A.safetensors"
    data = bytearray(damaged.read_bytes())
    data[-1] ^= 1
    damaged.write_bytes(data)
    loop.train(dataclasses.replace(options, output_path=str(run), resume=True))
    assert str(damaged) in caplog.text
    assert losses(run) == losses(straight)
    assert weights_hash(run) == weights_hash(straight)


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    return tmp_path_factory.mktemp("judged") / "run"


def run_judged(options, judged):
    if not judged.exists():
        judging.train(dataclasses.replace(options, output_path=str(judged), eval_freq=8))
    return judged


def figures(run) -> list[dict]:
    lines = evaluations.read_evaluations(run / evaluations.EVALUATIONS_FILE)
    return [{name: value for name, value in line.items() if name != "evaluate_s"} for line in lines]


def best_hash(run) -> dict[str, str]:
    [folder] = checkpoint.committed(run / "checkpoints", "best")
    files = sorted(folder.glob("*.safetensors"))
    assert len(files) == 3
    return {f"{folder.name}/{file.name}": hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_judging_changes_no_bit_of_the_training(options, straight, judged):
    run_straight(options, straight)
    run = run_judged(options, judged)
    assert losses(run) == losses(straight)
    for step in (17, STEPS):
        assert weights_hash(run, step) == weights_hash(straight, step)


def test_the_figures_are_those_of_evaluate_and_the_best_is_kept(options, judged, tmp_path, caplog):
    run = run_judged(options, judged)
    lines = figures(run)
    assert [line["step"] for line in lines] == [8, 16, 24, STEPS]
    found, meta = best.newest(run / "checkpoints")
    lowest = min(lines, key=lambda line: line["a2b"]["mean"])
    assert {name: value for name, value in meta["evaluation"].items() if name != "evaluate_s"} == lowest
    assert len({line["a2b"]["mean"] for line in lines}) == len(lines)
    result = evaluate.evaluate(found, options.data_folder, tmp_path / "evaluated")
    assert result["step"] == lowest["step"]
    for direction, images in (("a2b", 3), ("b2a", 2)):
        assert lowest[direction] == result[direction]["smoke_mmd"] | {
            "images": images, "identity": result[direction]["smoke_mmd_identity"]["mean"]
        }  # fmt: skip
    text = (run / "train.log").read_text()
    assert "judging by smoke_mmd (built in) on 3 pictures of testA and 2 of testB" in text
    assert text.count("judged in") == len(lines) and text.count("best so far") >= 1


def test_an_interrupted_run_has_the_evaluations_and_the_best_of_a_whole_one(options, judged, tmp_path, monkeypatch):
    """At step 16 an evaluation is due: the signal comes first, so the resumed run judges before it trains."""
    run_judged(options, judged)
    run = tmp_path / "run"
    write = log.Metrics.write

    def write_and_signal(self, step, values):
        write(self, step, values)
        if step == 15:
            os.kill(os.getpid(), signal.SIGTERM)

    asked = dataclasses.replace(options, output_path=str(run), eval_freq=8)
    with monkeypatch.context() as patch:
        patch.setattr(log.Metrics, "write", write_and_signal)
        with pytest.raises(loop.InterruptedTraining, match="saved step 16"):
            judging.train(asked)
    assert figures(run) == figures(judged)[:1]
    with (run / evaluations.EVALUATIONS_FILE).open("a") as file:  # as after a kill at a later step
        file.write(json.dumps(figures(judged)[2] | {"metric": "of a killed run"}) + '\n{"step"')
    judging.train(dataclasses.replace(asked, resume=True))
    assert figures(run) == figures(judged)
    assert best_hash(run) == best_hash(judged) and weights_hash(run) == weights_hash(judged)
    data, expected = (best.newest(folder / "checkpoints")[1]["data"] for folder in (run, judged))
    assert data == expected


def test_a_signal_at_the_last_step_takes_no_evaluation_away(options, judged, tmp_path, monkeypatch):
    """The run is done then, and no resume would judge it."""
    run = tmp_path / "run"
    shutil.copytree(run_judged(options, judged), run)
    for path in checkpoint.committed(run / "checkpoints"):
        if path.name != "step-00000017":
            shutil.rmtree(path)
    write = log.Metrics.write

    def write_and_signal(self, step, values):
        write(self, step, values)
        if step == STEPS - 1:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(log.Metrics, "write", write_and_signal)
    judging.train(dataclasses.replace(options, output_path=str(run), eval_freq=8, resume=True))
    assert figures(run) == figures(judged)
    assert "interrupted: saving after this step" in (run / "train.log").read_text()


def test_the_loop_alone_has_no_judge(options, tmp_path):
    with pytest.raises(config.OptionError, match="--eval_freq: the loop alone has no judge: call ugatit_train.train"):
        loop.train(dataclasses.replace(options, output_path=str(tmp_path / "run"), eval_freq="1e"))


def test_what_is_not_finite_stops_the_run_and_is_named(options, straight, tmp_path, monkeypatch):
    run_straight(options, straight)
    run = tmp_path / "run"
    open_loader, poisoned = loop.open_loader, {}

    def open_poisoned(*arguments, **given):
        loader = open_loader(*arguments, **given)

        class Poisoned(type(loader)):
            def __next__(self):
                at = self.state()["step"] + 1
                a, b = super().__next__()
                if at == 20:
                    b[0, 0, 3, 3] = np.nan
                    poisoned["b"] = self.keys("b")[self.sample_ids(at - 1)[1][0]].decode()
                return a, b

        loader.__class__ = Poisoned
        return loader

    monkeypatch.setattr(loop, "open_loader", open_poisoned)
    with pytest.raises(
        loop.TrainingError,
        match=r"step 20: not finite: .*d_loss, g_loss.* B \['.*: the last checkpoint is good: resume",
    ) as caught:
        loop.train(dataclasses.replace(options, output_path=str(run)))
    assert poisoned["b"] in str(caught.value)
    assert losses(run) == losses(straight)[:19]
    _, meta = checkpoint.latest_good(run / "checkpoints")
    assert meta["step"] == 17
    monkeypatch.setattr(loop, "open_loader", open_loader)
    loop.train(dataclasses.replace(options, output_path=str(run), resume=True))
    assert losses(run) == losses(straight)


def rewrite(checkpoint_folder, change):
    """Changes the contents of `checkpoint.json`, and its digest with them."""
    body = json.loads((checkpoint_folder / "checkpoint.json").read_text())
    change(body)
    del body["digest"]
    body["digest"] = checkpoint.sha256_hex(checkpoint.canonical(body))
    (checkpoint_folder / "checkpoint.json").write_text(json.dumps(body))


def test_what_is_not_finite_is_never_saved(options, tmp_path, compiled, monkeypatch):
    def overflow(step, *_arguments):
        if step == 1:
            compiled.disLA.conv.weight.set_data(compiled.disLA.conv.weight.value() * np.inf)
        return ""

    monkeypatch.setattr(loop.log, "log_line", overflow)
    short = dataclasses.replace(options, output_path=str(tmp_path / "run"))
    monkeypatch.setattr(config.Options, "schedule", lambda _options, _: config.Schedule(
        iteration=STEPS, decay_start=STEPS, print_every=1, save_every=1
    ))  # fmt: skip
    with pytest.raises(
        loop.TrainingError, match=r"step 1: (adam_m.)?disLA.conv.weight holds .* not finite: no checkpoint was"
    ):
        loop.train(short)
    with pytest.raises(checkpoint.CheckpointError, match="no checkpoint yet"):
        checkpoint.latest_good(tmp_path / "run" / "checkpoints")


def test_another_batch_is_refused_at_resume_unless_asked_for(options, straight, tmp_path):
    first = tmp_path / "first"
    shutil.copytree(run_straight(options, straight), first)
    shutil.rmtree(first / "checkpoints" / f"step-{STEPS:08d}")

    def two_of_two(body):  # as if these 17 steps had been done on two devices with two images each
        body["data"]["global_batch"], body["options"]["batch_size"] = 4, 2

    rewrite(first / "checkpoints" / "step-00000017", two_of_two)
    asked = dataclasses.replace(options, output_path=str(tmp_path / "second"), load_path=str(first), resume=True)
    with pytest.raises(
        checkpoint.CheckpointError,
        match="step-00000017: trained on 2 devices with --batch_size 2, this start is on 1 with --batch_size 1: "
        "make the products equal, or give --change_batch",
    ):
        loop.train(asked)
    loop.train(dataclasses.replace(asked, change_batch=True))
    assert losses(tmp_path / "second")[:17] == losses(straight)[:17]  # the metrics came along
    _, meta = checkpoint.latest_good(tmp_path / "second" / "checkpoints")
    assert (meta["step"], meta["data"]["step"]) == (STEPS, 17 * 4 + STEPS - 17)
    assert arguments.load(tmp_path / "second" / "options.yaml") == dataclasses.replace(
        options, output_path=str(tmp_path / "second")
    )


def test_other_devices_at_an_equal_batch_go_on_with_the_same_samples_to_the_bit(options, compiled, tmp_path):
    """Two devices, then one, then two; the weights of such a run are looked at in test_run_distributed_train.py."""
    dataset_id = loop.read_dataset(options.data_folder).dataset_id
    with loop._loader(dataclasses.replace(options, batch_size=2), loop.runtime.Worker(), 0) as loader:
        whole = [[array.copy() for array in next(loader)] for _ in range(12)]
    seen, start, state = [], runfolder.BEGIN, compiled.state()
    for world, batch_size, steps in ((2, 1, 5), (1, 2, 3), (2, 1, 4)):
        asked = dataclasses.replace(options, output_path=str(tmp_path), batch_size=batch_size, resume=True)
        if seen:
            start = runfolder.resume(asked, world, dataset_id, state)
        assert (start.step, start.loader_step) == (len(seen), len(seen))
        with contextlib.ExitStack() as stack:
            places = [loop.runtime.Worker(rank, world) for rank in range(world)]
            loaders = [stack.enter_context(loop._loader(asked, place, start.loader_step)) for place in places]
            for _ in range(steps):
                seen.append([np.concatenate(parts) for parts in zip(*map(next, loaders), strict=True)])
            meta = {"step": len(seen), "data": loaders[0].state(), "options": saved.lasting(asked)}
        checkpoint.save(tmp_path / runfolder.CHECKPOINTS, state, meta, 5)
    for found, expected in zip(seen, whole, strict=True):
        for part, array in zip(found, expected, strict=True):
            np.testing.assert_array_equal(part, array)


def test_other_networks_or_another_seed_are_refused_at_resume(options, straight):
    """Whoever calls `train` gives all options; the command line takes them from the run."""
    run = run_straight(options, straight)
    asked = dataclasses.replace(options, output_path=str(run), resume=True, seed=2)
    with pytest.raises(config.OptionError, match="the run in .*step-00000030 has seed 1, not 2: leave --seed"):
        loop.train(asked)


def test_another_data_set_is_refused_at_resume(options, straight, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(run_straight(options, straight), run)
    for path in (run / "checkpoints").iterdir():
        rewrite(path, lambda body: body["data"].update(dataset_id="0" * 32))
    with pytest.raises(checkpoint.CheckpointError, match="trained on data set 000000000000.*give the same data set"):
        loop.train(dataclasses.replace(options, output_path=str(run), resume=True))


def test_a_finished_run_says_so(options, straight):
    run = run_straight(options, straight)
    with pytest.raises(config.OptionError, match="has done all of its 30 steps: give a larger --iteration"):
        loop.train(dataclasses.replace(options, output_path=str(run), resume=True))


def test_half_an_hour_without_a_checkpoint_makes_one(options, straight, tmp_path, monkeypatch):
    assert loop.LONGEST_UNSAVED_S == 1800
    run_straight(options, straight)
    monkeypatch.setattr(loop, "LONGEST_UNSAVED_S", 0)
    loop.train(dataclasses.replace(options, output_path=str(tmp_path / "run")))
    names = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert names == [f"step-{step:08d}" for step in range(STEPS - 4, STEPS + 1)]  # the last five are kept
    assert weights_hash(tmp_path / "run") == weights_hash(straight)


def test_a_new_run_does_not_overwrite_an_old_one(options, straight):
    run = run_straight(options, straight)
    with pytest.raises(config.OptionError, match="not empty: give --resume to go on with its run, or another --output"):
        loop.train(dataclasses.replace(options, output_path=str(run)))
    assert len(losses(run)) == STEPS


def test_mindspore_is_given_the_runs_level_of_compilation(options, straight, monkeypatch):
    given = []
    monkeypatch.setattr(loop.runtime, "set_jit_level", given.append)
    for level in (None, "O1"):
        with pytest.raises(config.OptionError, match="not empty"):
            loop.train(dataclasses.replace(options, output_path=str(run_straight(options, straight)), jit_level=level))
    assert given[-2:] == [None, "O1"]


def test_a_second_training_into_the_folder_is_refused(options, tmp_path, monkeypatch):
    asked = dataclasses.replace(options, output_path=str(tmp_path / "run"))
    write, second = log.Metrics.write, []

    def write_and_start_another(self, step, values):
        write(self, step, values)
        if step == 18:
            with pytest.raises(config.OptionError, match="run: another training is at work there: wait for its end"):
                loop.train(dataclasses.replace(asked, resume=True))
            second.append(step)

    monkeypatch.setattr(log.Metrics, "write", write_and_start_another)
    loop.train(asked)
    assert second == [18]


def test_a_full_disk_is_found_before_the_first_step(options, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(runfolder.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(
        runfolder.NoRoomError, match=r"0.0 GB free, 5 checkpoints .* make room, or give a smaller --keep"
    ):
        loop.train(dataclasses.replace(options, output_path=str(tmp_path / "run")))
    with pytest.raises(runfolder.NoRoomError, match=r"5 checkpoints, the best one and the one being written take"):
        judging.train(dataclasses.replace(options, output_path=str(tmp_path / "judged"), eval_freq=8))
