"""The generators' average: resume to the bit, on and off at a resume, who takes it. The recurrence: test_step.py."""

import dataclasses

import numpy as np
import pytest
from mindspore import Parameter, ParameterTuple, Tensor

from ugatit_train.exchange import export, pytorch
from ugatit_train.forms import CPU
from ugatit_train.inference import generator, models
from ugatit_train.networks import compiling
from ugatit_train.options import saved
from ugatit_train.options.config import OptionError, Options
from ugatit_train.training import average, build, checkpoint, runfolder
from ugatit_train.training.adam import Adam

from .. import graphs
from ..parity import fill
from ..stepping import CONFIGURATIONS, batches, compile_step, first_state

CONFIGURATION = CONFIGURATIONS["zoo_variant_global_norm"]
OPTIONS = Options(light=True, ch=4, n_res=1, n_dis=4, img_size=32, ema=0.5)
DATA = {"dataset_id": "one", "global_batch": 1, "step": 3, "seed": 1}


def save(folder, state, options, step=3):
    meta = {"step": step, "data": DATA, "options": saved.lasting(options)}
    return checkpoint.save(folder / runfolder.CHECKPOINTS, state, meta, keep=3)


def arrays(state):
    return {name: parameter.asnumpy().copy() for name, parameter in state.items()}


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name in found:
        assert found[name].tobytes() == expected[name].tobytes(), name


@pytest.fixture
def step():
    """A step with averages that differ from their weights. Nothing is compiled."""
    made = build.build_step(OPTIONS, OPTIONS.schedule(1))
    for number, (name, parameter) in enumerate(made.state().items()):
        if name.startswith("ema."):
            parameter.set_data(Tensor(parameter.asnumpy() + np.float32(0.01 * (number % 7 + 1))))
    return made


@pytest.fixture
def run(step, tmp_path):
    save(tmp_path, step.state(), OPTIONS)
    return tmp_path


def other(run, **changed):
    """The options, and the state that another start builds for them."""
    options = dataclasses.replace(OPTIONS, output_path=str(run), resume=True, **changed)
    state = build.build_step(options, options.schedule(1)).state()
    for parameter in state.values():
        parameter.set_data(parameter.init_data() * 0)
    return options, state


def test_it_is_one_kernel_a_weight_which_leaves_weights_and_moments_as_they_are(tmp_path):
    """In Adam's own terms; an update that is not finite changes nothing at all."""
    random = np.random.default_rng(0)
    weights = ParameterTuple([
        Parameter(Tensor(random.normal(size=size).astype(np.float32)), name=f"w{i}")
        for i, size in enumerate([(3, 5), (1,), (1000,)])
    ])  # fmt: skip
    adam = Adam(weights, 1e-4, skips=True)
    for moment in (*adam.m, *adam.v):
        moment.set_data(Tensor(random.uniform(0, 1, moment.shape).astype(np.float32)))
    made = average.Average(adam, 0.99)
    untouched = arrays({p.name: p for p in (*weights, *adam.m, *adam.v)})
    expected = {p.name: np.zeros(p.shape) for p in weights}
    with graphs.saving(tmp_path) as graph:
        made.compile(*(Tensor(each) for each in (np.float32(1), True, True)))
    assert graph.kernels()["Adam"] == len(weights) and graph.kernels().total() <= len(weights) + 8
    for count, finite in ((1, True), (2, True), (3, False), (500, True), (10_000, True), (10**6, True)):
        made(*(Tensor(each) for each in (np.float32(count), finite, True)))
        decay = min(0.99, (1 + count) / (10 + count)) if finite else 1
        for name, value in expected.items():
            expected[name] = decay * value + (1 - decay) * untouched[name]
            found = next(p for p in made.averages if p.name == f"ema.{name}").asnumpy()
            np.testing.assert_allclose(found, expected[name], rtol=2e-6)
    assert_same(arrays({p.name: p for p in (*weights, *adam.m, *adam.v)}), untouched)


def test_it_begins_with_the_weights():
    state = build.build_step(OPTIONS, OPTIONS.schedule(1)).state()
    assert state["genA2B.down0.weight"].asnumpy().std() > 0
    for name in [n for n in state if n.startswith("gen")]:
        assert (state[f"ema.{name}"].asnumpy() == state[name].asnumpy()).all()


def test_a_run_that_goes_on_from_a_checkpoint_has_the_same_averages_to_the_bit(tmp_path):
    """Three steps, a checkpoint, two more steps; and from the checkpoint the two again, in a step of other values."""
    step, first = compile_step(CONFIGURATION), first_state(CONFIGURATION)
    fill(step, {**first.params, **first.u})
    state = step.state()
    average.begin(state)
    images = [[Tensor(image.astype(np.float32)) for image in pair] for pair in batches(CONFIGURATION)]
    compiling.graphs().compile(step, *images[0])  # test_step.py's too
    for pair in images[:3]:
        step(*pair)
    save(tmp_path, state, OPTIONS)
    for pair in images[3:]:
        step(*pair)
    expected = arrays(state)
    for parameter in state.values():
        parameter.set_data(parameter.init_data() * 0)
    checkpoint.load(*checkpoint.latest_good(tmp_path / runfolder.CHECKPOINTS), state)
    for pair in images[3:]:
        step(*pair)
    assert_same(arrays(state), expected)
    assert any((expected[f"ema.{n}"] != expected[n]).any() for n in expected if n.startswith("gen"))


def test_a_checkpoint_keeps_them_in_files_of_their_own(run, step):
    found, meta = checkpoint.find(run)
    assert set(meta["files"]) == {
        "genA2B.safetensors", "genB2A.safetensors", "genA2B.ema.safetensors", "genB2A.ema.safetensors",
        "training.safetensors",
    }  # fmt: skip
    options, state = other(run)
    start = runfolder.resume(options, 1, "one", state)
    assert_same(arrays(state), arrays(step.state()))
    assert start.averages == ""


def test_switched_on_at_a_resume_they_begin_with_the_present_weights(run, step, tmp_path, caplog):
    """The run before may be of 0.1: its checkpoint has the files of one without averages."""
    plain = {name: p for name, p in step.state().items() if not name.startswith("ema.")}
    found = save(tmp_path / "plain", plain, dataclasses.replace(OPTIONS, ema=0.0))
    options, state = other(tmp_path / "plain")
    runfolder.resume(options, 1, "one", state).tell(options, 1)
    expected = arrays(plain)
    assert_same(arrays(state), expected | {f"ema.{n}": expected[n] for n in expected if n.startswith("gen")})
    assert f"--ema 0.5: {found} holds no averages: they begin with its weights" in caplog.messages


def test_switched_off_at_a_resume_they_are_dropped_in_a_line(run, step, caplog):
    options, state = other(run, ema=0.0)
    runfolder.resume(options, 1, "one", state).tell(options, 1)
    expected = arrays(step.state())
    assert_same(arrays(state), {name: array for name, array in expected.items() if not name.startswith("ema.")})
    assert [m for m in caplog.messages if m.endswith("step-00000003 are dropped: the run goes on without")]


def test_another_decay_goes_on_with_them(run, step, caplog):
    options, state = other(run, ema=0.9)
    runfolder.resume(options, 1, "one", state).tell(options, 1)
    assert_same(arrays(state), arrays(step.state()))
    assert "average" not in caplog.text


def test_a_generator_has_them_unless_the_weights_are_asked_for(run, step):
    state = arrays(step.state())
    for asked, taken, prefix in ((None, "ema", "ema."), ("ema", "ema", "ema."), ("raw", "raw", "")):
        for direction, network in checkpoint.GENERATORS.items():
            made, _, found = generator.load_generator(run, direction, CPU, asked)
            assert found == taken
            own = {name: p.asnumpy() for name, p in made.parameters_and_names()}
            assert_same(own, {name: state[f"{prefix}{network}.{name}"] for name in own})
        states, notes = pytorch.to_pytorch(run, asked)
        assert_same(
            {"weight": states["genA2B"]["DownBlock.1.weight"]}, {"weight": state[f"{prefix}genA2B.down0.weight"]}
        )
        assert f"genA2B, genB2A: {'the averages' if taken == 'raw' else 'the weights as they are'}" in notes


def test_a_run_without_averages_says_so_where_they_are_asked_for(untrained_run):
    assert generator.load_generator(untrained_run, "a2b", CPU)[2] == "raw"
    for read in (
        lambda: generator.load_generator(untrained_run, "a2b", CPU, "ema"),
        lambda: models.open_generator(untrained_run, weights="ema"),
        lambda: pytorch.to_pytorch(untrained_run, "ema"),
    ):
        with pytest.raises(
            checkpoint.CheckpointError, match="step-00000003: holds no averages, for its run has no --ema: give"
        ):
            read()


def test_pictures_while_training_are_made_with_the_present_averages(step, run):
    """By the parameters themselves: what the step changes shows in the next picture."""
    images = np.random.default_rng(0).uniform(-1, 1, (1, 3, 32, 32)).astype(np.float32)
    a2b, b2a = build.pictured(step, OPTIONS)
    state = step.state()
    for network, made in (("genA2B", a2b), ("genB2A", b2a)):
        assert all(p is state[f"ema.{network}.{name}"] for name, p in made.parameters_and_names())
    seen = models.from_cell(a2b)
    expected, _ = models.from_checkpoint(run, "a2b").run(images)
    np.testing.assert_array_equal(seen(images)[0], expected)
    assert expected.std() > 0
    for parameter in (state["ema.genA2B.out.weight"], state["genB2A.out.weight"]):
        parameter.set_data(parameter.init_data() * 0)
    assert (seen(images)[0] == 0).all()  # tanh(0)
    plain = build.build_step(dataclasses.replace(OPTIONS, ema=0.0), OPTIONS.schedule(1))
    assert build.pictured(plain, OPTIONS) == (plain.genA2B, plain.genB2A)


def test_an_exported_file_says_what_it_holds(run):
    trained = models.from_checkpoint(run, "a2b")
    signature = export.signature_for(trained, "ONNX", None, False)
    path = export.write(run, signature, "ONNX", run)
    held = models.open_generator(path)
    assert held.signature.weights == "ema" and models.open_generator(path, weights="ema").signature == held.signature
    assert export.compare(trained, held, export.trial_images(signature, 1)).is_small
    with pytest.raises(models.ModelError, match="^--weights raw: this file holds ema: export the other one$"):
        models.open_generator(path, weights="raw")
    raw = dataclasses.replace(held.signature, weights="raw")
    assert "weights" not in raw.text() and models.Signature.of(raw.text()) == raw  # as a file of 0.1


@pytest.mark.parametrize("ema", [1, 1.5, -0.1])
def test_a_decay_out_of_its_range_is_refused(ema):
    with pytest.raises(OptionError, match=f"^--ema {ema} is out of range: give "):
        Options(ema=ema)
