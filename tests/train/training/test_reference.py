"""The reference's layers and networks, against finite differences, naive loops and NumPy's own routines."""

import autograd
import numpy
import pytest

from .. import reference as ref
from .. import reference_networks as layers

OPTIONS = ref.Options()
SMALL = {"ch": 2, "n_res": 1, "n_dis": 4, "img_size": 32}


@pytest.fixture
def rng():
    return numpy.random.default_rng(20)


def images(rng, n=1, size=32):
    return rng.uniform(-1, 1, (2, n, 3, size, size))


def central_difference(f, x, direction, eps=1e-6):
    return (f(x + eps * direction) - f(x - eps * direction)) / (2 * eps)


# Layers: gradients


def cam_both(x, gap, gmp, gap_scale, gmp_scale, weight, bias):
    attended, logits = layers.cam(x, gap, gmp, gap_scale, gmp_scale, weight, bias)
    return autograd.numpy.concatenate([attended.ravel(), logits.ravel()])


LAYERS = {
    "conv": (layers.conv2d, [(2, 3, 6, 5), (4, 3, 3, 3)], ()),
    "conv_stride": (layers.conv2d, [(2, 3, 7, 8), (4, 3, 4, 4)], (2,)),
    "conv_1x1": (layers.conv2d, [(2, 3, 3, 4), (2, 3, 1, 1)], ()),
    "pad_reflect": (layers.pad, [(2, 2, 4, 5)], (3, "reflect")),
    "pad_zero": (layers.pad, [(2, 2, 4, 5)], (1, "zero")),
    "relu": (layers.relu, [(2, 3, 4, 4)], ()),
    "leaky_relu": (layers.leaky_relu, [(2, 3, 4, 4)], ()),
    "upsample": (layers.upsample, [(2, 2, 3, 4)], ()),
    "instance_norm": (layers.instance_norm, [(2, 3, 4, 4)], ()),
    "adalin": (layers.adalin, [(2, 3, 4, 5), (3,), (2, 3), (2, 3)], ()),
    "lin": (layers.lin, [(2, 3, 4, 5), (3,), (3,), (3,)], ()),
    "linear": (layers.linear, [(2, 5), (3, 5)], ()),
    "cam": (cam_both, [(2, 3, 4, 4), (1, 3), (1, 3), (1, 3), (1, 3), (3, 6, 1, 1), (3,)], ()),
    "mse": (ref.mse_to, [(2, 1, 3, 3)], (1.0,)),
    "l1": (ref.l1, [(2, 3, 4, 4), (2, 3, 4, 4)], ()),
    "bce_real": (ref.bce_with_logits, [(3, 2)], (1.0,)),
    "bce_fake": (ref.bce_with_logits, [(3, 2)], (0.0,)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_gradient_of_each_layer_is_the_finite_difference(name, rng):
    function, shapes, constants = LAYERS[name]
    args = [rng.standard_normal(shape) for shape in shapes]
    cotangent = rng.standard_normal(numpy.shape(function(*args, *constants)))
    for k, arg in enumerate(args):

        def scalar(x, k=k):
            return autograd.numpy.sum(cotangent * function(*args[:k], x, *args[k + 1 :], *constants))

        expected = [central_difference(scalar, arg, unit) for unit in numpy.eye(arg.size).reshape(-1, *arg.shape)]
        found = autograd.grad(scalar)(arg)
        numpy.testing.assert_allclose(found.ravel(), expected, rtol=1e-6, atol=1e-7)


def test_gradient_of_spectral_norm_holds_u_and_v_constant(rng):
    weight, u = rng.standard_normal((4, 3, 2, 2)), rng.standard_normal(4)
    u, v = layers.power_iteration(weight, u)
    cotangent = rng.standard_normal(weight.shape)

    def scalar(w):
        return autograd.numpy.sum(cotangent * layers.spectral_norm(w, u, v))

    expected = [central_difference(scalar, weight, unit) for unit in numpy.eye(48).reshape(-1, *weight.shape)]
    numpy.testing.assert_allclose(autograd.grad(scalar)(weight).ravel(), expected, rtol=1e-6, atol=1e-8)


# Layers: values


@pytest.mark.parametrize(("k", "stride"), [(1, 1), (3, 1), (3, 2), (4, 2), (4, 1), (7, 1)])
def test_convolution_is_the_naive_loop(k, stride, rng):
    x, w = rng.standard_normal((2, 3, 9, 8)), rng.standard_normal((4, 3, k, k))
    found = layers.conv2d(x, w, stride)
    assert found.shape == (2, 4, (9 - k) // stride + 1, (8 - k) // stride + 1)
    for n, o, i, j in numpy.ndindex(found.shape):
        window = x[n, :, i * stride : i * stride + k, j * stride : j * stride + k]
        assert found[n, o, i, j] == pytest.approx(numpy.sum(window * w[o]), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("amount", [1, 3])
def test_padding_is_numpys(amount, rng):
    x = rng.standard_normal((2, 3, 4, 6))
    width = [(0, 0), (0, 0), (amount, amount), (amount, amount)]
    numpy.testing.assert_array_equal(layers.pad(x, amount, "reflect"), numpy.pad(x, width, mode="reflect"))
    numpy.testing.assert_array_equal(layers.pad(x, amount, "zero"), numpy.pad(x, width))


def test_reflection_of_a_map_that_is_too_small_is_refused():
    with pytest.raises(ValueError, match="padding by 1 needs more than 1 pixels, the map has 1"):
        layers.pad(numpy.zeros((1, 1, 1, 1)), 1, "reflect")


def test_upsampling_repeats_each_pixel(rng):
    x = rng.standard_normal((2, 3, 4, 5))
    found = layers.upsample(x)
    assert found.shape == (2, 3, 8, 10)
    for i, j in numpy.ndindex(8, 10):
        numpy.testing.assert_array_equal(found[:, :, i, j], x[:, :, i // 2, j // 2])


def test_norms_are_the_direct_formulas(rng):
    x = 3 * rng.standard_normal((2, 4, 5, 6)) + 1
    rho, gamma, beta = rng.uniform(size=4), rng.standard_normal((2, 4)), rng.standard_normal((2, 4))
    instance, adalin = layers.instance_norm(x), layers.adalin(x, rho, gamma, beta)
    lin = layers.lin(x, rho, gamma[0], beta[0])
    for n, c in numpy.ndindex(2, 4):
        plane, sample = x[n, c], x[n]
        biased = (plane - plane.mean()) / numpy.sqrt(plane.var() + 1e-5)
        numpy.testing.assert_allclose(instance[n, c], biased, rtol=1e-12)
        by_channel = (plane - plane.mean()) / numpy.sqrt(plane.var(ddof=1) + 1e-5)
        by_layer = (plane - sample.mean()) / numpy.sqrt(sample.var(ddof=1) + 1e-5)
        mixed = rho[c] * by_channel + (1 - rho[c]) * by_layer
        numpy.testing.assert_allclose(adalin[n, c], mixed * gamma[n, c] + beta[n, c], rtol=1e-11)
        numpy.testing.assert_allclose(lin[n, c], mixed * gamma[0, c] + beta[0, c], rtol=1e-11)


def test_cam_is_the_loop_over_channels(rng):
    x, conv, bias = rng.standard_normal((2, 3, 4, 4)), rng.standard_normal((3, 6, 1, 1)), rng.standard_normal(3)
    gap, gmp, gap_scale, gmp_scale = rng.standard_normal((4, 1, 3))
    attended, logits = layers.cam(x, gap, gmp, gap_scale, gmp_scale, conv, bias)
    for n in range(2):
        expected = [sum(gap[0, c] * x[n, c].mean() for c in range(3)), sum(gmp[0, c] * x[n, c].max() for c in range(3))]
        numpy.testing.assert_allclose(logits[n], expected, rtol=1e-12)
        for o in range(3):
            by_gap = sum(conv[o, c, 0, 0] * gap_scale[0, c] * x[n, c] for c in range(3))
            by_gmp = sum(conv[o, 3 + c, 0, 0] * gmp_scale[0, c] * x[n, c] for c in range(3))
            numpy.testing.assert_allclose(attended[n, o], by_gap + by_gmp + bias[o], rtol=1e-11, atol=1e-12)


def test_spectral_norm_converges_to_the_largest_singular_value(rng):
    weight, u = rng.standard_normal((6, 3, 4, 4)), rng.standard_normal(6)
    for _ in range(2000):
        u, v = layers.power_iteration(weight, u)
    largest = numpy.linalg.svd(weight.reshape(6, -1), compute_uv=False)[0]
    numpy.testing.assert_allclose(layers.spectral_norm(weight, u, v), weight / largest, rtol=1e-10)


def test_losses_are_their_formulas(rng):
    logits, other = 3 * rng.standard_normal((2, 4, 2))
    logistic = 1 / (1 + numpy.exp(-logits))
    assert ref.bce_with_logits(logits, 1.0) == pytest.approx(-numpy.log(logistic).mean(), rel=1e-12)
    assert ref.bce_with_logits(logits, 0.0) == pytest.approx(-numpy.log(1 - logistic).mean(), rel=1e-12)
    assert ref.mse_to(logits, 1.0) == pytest.approx(sum((x - 1) ** 2 for x in logits.flat) / 8, rel=1e-12)
    assert ref.l1(logits, other) == pytest.approx(sum(abs(logits - other).flat) / 8, rel=1e-12)
    assert ref.bce_with_logits(numpy.array([800.0]), 0.0) == 800.0  # does not overflow


# Networks


def test_parameter_names_and_shapes(rng):
    state = ref.init_state(rng, ch=2, n_res=1, n_dis=4, img_size=16, light=False)
    generator = {name: a.shape for name, a in ref.scope(state.params, "genA2B").items()}
    block = {"conv1.weight": (8, 8, 3, 3), "conv2.weight": (8, 8, 3, 3)}
    rho = {"norm1.rho": (8,), "norm2.rho": (8,)}
    cam = {"cam.gap_fc.weight": (1, 8), "cam.gmp_fc.weight": (1, 8), "cam.conv1x1.weight": (8, 16, 1, 1)}
    cam["cam.conv1x1.bias"] = (8,)
    expected = {"down0.weight": (2, 3, 7, 7), "down1.weight": (4, 2, 3, 3), "down2.weight": (8, 4, 3, 3), **cam}
    expected |= {f"res.0.{k}": v for k, v in block.items()} | {f"adares.0.{k}": v for k, v in (block | rho).items()}
    expected |= {"fc1.weight": (8, 8 * 4 * 4), "fc2.weight": (8, 8), "gamma.weight": (8, 8), "beta.weight": (8, 8)}
    for up, c in (("up0", 4), ("up1", 2)):
        expected |= {f"{up}.conv.weight": (c, 2 * c, 3, 3), f"{up}.norm.rho": (c,)}
        expected |= {f"{up}.norm.gamma": (c,), f"{up}.norm.beta": (c,)}
    assert generator == expected | {"out.weight": (3, 2, 7, 7)}

    local = {name: a.shape for name, a in ref.scope(state.params, "disLA").items()}  # n_layers 3
    cam = {"cam.gap_fc.weight": (1, 4), "cam.gmp_fc.weight": (1, 4), "cam.conv1x1.weight": (4, 8, 1, 1)}
    convs = {"convs.0.weight": (2, 3, 4, 4), "convs.0.bias": (2,), "convs.1.weight": (4, 2, 4, 4), "convs.1.bias": (4,)}
    assert local == convs | cam | {"cam.conv1x1.bias": (4,), "conv.weight": (1, 4, 4, 4)}
    u = {name: a.shape for name, a in ref.scope(state.u, "disLA").items()}
    assert u == {"convs.0.u": (2,), "convs.1.u": (4,), "cam.gap_fc.u": (1,), "cam.gmp_fc.u": (1,), "conv.u": (1,)}
    assert sum(name.startswith("disGB.convs.") for name in state.u) == 4  # n_layers 5
    assert all(a.dtype == numpy.float64 for a in [*state.params.values(), *state.u.values()])
    assert all((a > 0.2).all() and (a < 0.8).all() for name, a in state.params.items() if name.endswith("rho"))


@pytest.mark.parametrize(("light", "padding"), [(True, "reflect"), (False, "reflect"), (True, "zero")])
def test_gradient_of_every_generator_parameter(light, padding, rng):
    options = ref.Options(padding=padding)
    params = ref.scope(ref.init_state(rng, 2, 1, 4, 16, light=light).params, "genA2B")
    x, _ = images(rng, n=2, size=16)
    outputs = layers.generator(params, x, options)
    assert [o.shape for o in outputs] == [(2, 3, 16, 16), (2, 2), (2, 1, 4, 4)]
    cotangents = [rng.standard_normal(o.shape) for o in outputs]

    def scalar(p):
        found = layers.generator(p, x, options)
        return sum(autograd.numpy.sum(c * o) for c, o in zip(cotangents, found, strict=True))

    check_every_parameter(scalar, params, rng)


@pytest.mark.parametrize("spectral_norm", [True, False])
def test_gradient_of_every_discriminator_parameter(spectral_norm, rng):
    options = ref.Options(spectral_norm=spectral_norm)
    state = ref.init_state(rng, 2, 1, 4, 16)
    params = ref.scope(state.params, "disLA")
    vectors = ref.iterate(state.params, state.u)[1]["disLA"]
    x, _ = images(rng, n=2, size=16)
    outputs = layers.discriminator(params, vectors, x, options)
    assert [o.shape for o in outputs] == [(2, 1, 6, 6), (2, 2), (2, 1, 7, 7)]
    cotangents = [rng.standard_normal(o.shape) for o in outputs]

    def scalar(p):
        found = layers.discriminator(p, vectors, x, options)
        return sum(autograd.numpy.sum(c * o) for c, o in zip(cotangents, found, strict=True))

    check_every_parameter(scalar, params, rng)


def check_every_parameter(scalar, params, rng):
    """Directional derivatives, one random direction a parameter."""
    gradient = autograd.grad(scalar)(params)
    for name, value in params.items():
        direction = rng.standard_normal(value.shape)
        direction /= numpy.linalg.norm(direction)
        expected = central_difference(lambda x, name=name: scalar({**params, name: x}), value, direction, eps=1e-7)
        scale = numpy.linalg.norm(gradient[name])
        assert scale > 0, name
        assert numpy.sum(gradient[name] * direction) == pytest.approx(expected, rel=1e-4, abs=1e-5 * scale + 1e-6), name


def test_samples_of_a_batch_do_not_mix(rng):
    state = ref.init_state(rng, **SMALL)
    a, _ = images(rng, n=2)
    params, dis = ref.scope(state.params, "genA2B"), ref.scope(state.params, "disGA")
    vectors = ref.iterate(state.params, state.u)[1]["disGA"]
    for network in (
        lambda x: layers.generator(params, x, OPTIONS),
        lambda x: layers.discriminator(dis, vectors, x, OPTIONS),
    ):
        both, alone = network(a), network(a[1:])
        for found, expected in zip(both, alone, strict=True):
            numpy.testing.assert_allclose(found[1:], expected, rtol=1e-10, atol=1e-12)


def test_discriminator_cam_scales_by_the_raw_weight_and_makes_logits_with_the_normalised_one(rng):
    state = ref.init_state(rng, **SMALL)
    params, vectors = ref.scope(state.params, "disLA"), ref.iterate(state.params, state.u)[1]["disLA"]
    doubled = {**params, "cam.gap_fc.weight": 2 * params["cam.gap_fc.weight"]}
    a, _ = images(rng)
    (logit, cam_logit, _), (logit_2, cam_logit_2, _) = (
        layers.discriminator(p, vectors, a, OPTIONS) for p in (params, doubled)
    )
    numpy.testing.assert_allclose(cam_logit, cam_logit_2, rtol=1e-12)
    assert abs(logit - logit_2).max() > 1e-3
