"""One training step as one compiled graph: both updates of U-GAT-IT, rho clip and learning rate inside.

The generators run forward once: a batched pass of each gives the fakes, the identity images and the CAM logits, another
gives the cycled images. The discriminators are updated on the fakes. Then the gradient of the generators' loss is taken
with respect to the passes' results, through the updated discriminators, and `ms.vjp` continues it back through the
passes. This equals the paper's code, which runs the unchanged generators again in between.
Every update comes after the passes, so that each weight is read once.

The passes and the losses are in `passes.py`, its letters too.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import mindspore as ms
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops
from mindspore import dtype as mstype

from ugatit_train.networks.convolution import OwnBackward
from ugatit_train.networks.ugatit import Discriminator, Generator
from ugatit_train.options.schedule import Decay, linear
from ugatit_train.training.adam import Adam, clip_by_global_norm, clip_rho
from ugatit_train.training.average import Average
from ugatit_train.training.loss_scale import LossScale
from ugatit_train.training.passes import PASSES, DiscriminatorLoss, GeneratorLoss, Translate
from ugatit_train.training.terms import TERMS, Term, loss_names


@dataclass(frozen=True, kw_only=True)
class StepSettings:
    """The numbers of a step. The learning rate is `lr` times `decay(step, decay_start, iteration, ops)`."""

    lr: float = 1e-4
    weight_decay: float = 1e-4
    adv_weight: float = 1.0
    cycle_weight: float = 10.0
    identity_weight: float = 10.0
    cam_weight: float = 1000.0
    iteration: int = 1_000_000
    decay_start: int = 500_000
    decay: Decay = linear
    sn_iterations: str = "per_step"
    update_order: str = "d_first"
    use_global_norm: bool = False
    recompute: bool = False  # the convolutions' backward computes more and keeps less memory
    loss_scale: float | str = 1.0  # of the backward pass; "dynamic" also leaves out updates that overflow
    world: int = 1  # processes that average their gradients
    ema: float = 0.0  # decay of the average of the generators' weights; 0: there is none


class Step(nn.Cell):
    """The networks, both optimizers and the step number; a call is one update of all of them.

    Parameter names: `genA2B.*`, `genB2A.*`, `disGA.*`, `disGB.*`, `disLA.*`, `disLB.*`, `adam_m.*`, `adam_v.*`, `step`;
    with an average `ema.genA2B.*`, `ema.genB2A.*`.
    """

    def __init__(
        self,
        generators: Sequence[Generator],
        discriminators: Sequence[Discriminator],
        settings: StepSettings,
        *,
        terms: tuple[Term, ...] = TERMS,
    ):
        """generators: genA2B, genB2A; discriminators: disGA, disGB, disLA, disLB; terms: of the generators' loss.

        Raises:
            ValueError: two terms of one name.
        """
        super().__init__(auto_prefix=False)
        self.loss_names = loss_names(terms)
        self.genA2B, self.genB2A = generators
        self.disGA, self.disGB, self.disLA, self.disLB = discriminators
        for name, parameter in self.parameters_and_names():
            parameter.name = name
        for _, cell in self.cells_and_names():
            if isinstance(cell, OwnBackward):
                cell.saves_memory = settings.recompute
        self.step = Parameter(Tensor(0, mstype.int32), name="step", requires_grad=False)
        self.g_parameters = ParameterTuple([p for g in generators for p in g.trainable_params()])
        self.d_parameters = ParameterTuple([p for d in discriminators for p in d.trainable_params()])
        self.loss_scale = LossScale(settings.loss_scale)
        adam = {"skips": self.loss_scale.scales, "by_alpha": self.genA2B.forms.optimizer == "alpha"}
        counts = self.loss_scale.is_dynamic
        self.g_adam = Adam(self.g_parameters, settings.weight_decay, count="g" if counts else "", **adam)
        self.d_adam = Adam(self.d_parameters, settings.weight_decay, count="d" if counts else "", **adam)
        self.average = Average(self.g_adam, settings.ema) if settings.ema else None
        self.rhos = ParameterTuple([p for p in self.g_parameters if p.name.endswith(".rho")])

        self.discriminators = discriminators
        self.per_pass = settings.sn_iterations == "per_pass" and self.disGA.spectral_norm
        self.d_first = settings.update_order == "d_first"
        self.averages = settings.world > 1
        if self.averages:
            self.g_reducer = nn.DistributedGradReducer(self.g_parameters, mean=True, degree=settings.world)
            self.d_reducer = nn.DistributedGradReducer(self.d_parameters, mean=True, degree=settings.world)
        self.lr, self.clips_norm = settings.lr, settings.use_global_norm
        self.decay, self.decay_start, self.iteration = settings.decay, settings.decay_start, settings.iteration

        weights = tuple(t.weight if not isinstance(t.weight, str) else getattr(settings, t.weight) for t in terms)
        self.map = ops.HyperMap()
        self.translate = Translate(*generators)
        d_loss = DiscriminatorLoss(discriminators, settings.adv_weight, batched=not self.per_pass)
        g_loss = GeneratorLoss(discriminators, weights, tuple(term.function for term in terms))
        self.d_gradient = ms.value_and_grad(d_loss, None, self.d_parameters, has_aux=True)
        self.g_gradient = ms.value_and_grad(g_loss, tuple(range(len(PASSES))), has_aux=True)

    def state(self) -> dict[str, Parameter]:
        """What a checkpoint holds, by name, in the order of its files: step, networks, loss scale, both optimizers,
        the generators' average."""
        found = [self.step, *self.g_parameters, *self.d_parameters]
        networks: Sequence[nn.Cell] = (self.genA2B, self.genB2A, *self.discriminators)
        for network in networks:
            found += network.get_parameters()  # also what no gradient trains: u of the spectral norm
        found += [*self.loss_scale.state(), *self.g_adam.state(), *self.d_adam.state()]
        found += self.average.state() if self.average is not None else []
        return {parameter.name: parameter for parameter in found}

    def iterate(self, vectors, needed):
        """Every discriminator's `vectors` after one more power iteration, if it is needed."""
        if not needed:
            return vectors
        following: tuple = ()
        for discriminator, pairs in zip(self.discriminators, vectors):  # noqa: B905 - graph mode
            us: tuple = ()
            for pair in pairs:
                us = us + (pair[0] if len(pair) == 2 else (),)
            following = following + (discriminator.iterate(us),)
        return following

    def first_vectors(self):
        vectors: tuple = ()
        for discriminator in self.discriminators:
            vectors = vectors + (discriminator.iterate(discriminator.left_vectors()),)
        return vectors

    def store(self, vectors):
        stored: tuple = ()
        for discriminator, pairs in zip(self.discriminators, vectors):  # noqa: B905 - graph mode
            stored = stored + discriminator.store(pairs)
        return stored

    def construct(self, a, b):
        """a, b (N, img_ch, H, W) float32 in [-1, 1] -> float32 vector of the losses `loss_names`."""
        count = self.step + 1
        step = count.astype(mstype.float32)
        lr = self.lr * self.decay(step, self.decay_start, self.iteration, ops)
        n = a.shape[0]
        loss_scale = self.loss_scale.factor()
        vectors = self.first_vectors()
        (y_b, cam_b, y_a, cam_a, cycle_a, cycle_b), backward = ms.vjp(self.translate, a, b, weights=self.g_parameters)
        fake_a, fake_b = ops.stop_gradient(y_a[:n]), ops.stop_gradient(y_b[:n])

        if self.d_first:
            vectors_fake = self.iterate(vectors, self.per_pass)
            d_loss, gradients, finite = self.discriminator_gradients(
                a, b, fake_a, fake_b, vectors, vectors_fake, loss_scale
            )
            before = self.d_adam.before(finite) if self.loss_scale.scales else ()
            d_lr = ops.depend(lr, before) if self.loss_scale.scales else lr
            d_done = self.d_adam(gradients, step, d_lr, finite)
            # The generators' loss must see the updated discriminators.
            y_b, vectors_fake = ops.depend(y_b, d_done), ops.depend(vectors_fake, d_done)
            vectors = self.iterate(vectors_fake, self.per_pass)
        # By number, not `_, ... =`: MindSpore takes the unpacking of a name that nobody reads for a statement that may
        # write, and warns "Some side effect nodes were eliminated by mistake" when it removes it. No update was lost.
        g_losses, cotangents = self.g_gradient(y_b, cam_b, y_a, cam_a, cycle_a, cycle_b, a, b, vectors, loss_scale)
        g_gradients = backward(*cotangents)[1]
        if self.averages:
            g_gradients = self.g_reducer(g_gradients)
        g_gradients, g_finite = self.unscale(g_gradients, loss_scale)
        if self.d_first:
            if self.loss_scale.scales:  # an overflow in either optimizer's gradients skips both
                undone = ops.logical_and(finite, ops.logical_not(g_finite))
                d_done = self.d_adam.undo(before, undone, d_done)
                finite = ops.logical_and(finite, g_finite)
        else:
            vectors = self.iterate(vectors, self.per_pass)
            vectors_fake = self.iterate(vectors, self.per_pass)
            fake_a = ops.depend(fake_a, cotangents)  # the generators' loss comes before the update
            d_loss, gradients, finite = self.discriminator_gradients(
                a, b, fake_a, fake_b, vectors, vectors_fake, loss_scale
            )
            if self.loss_scale.scales:
                finite = ops.logical_and(finite, g_finite)
            d_done = self.d_adam(gradients, step, lr, finite)
            vectors = vectors_fake
        g_done = self.g_adam(g_gradients, step, lr, finite)
        g_done = self.map(ops.partial(clip_rho, g_done), self.rhos)
        if self.average is not None:
            g_done = self.average(self.g_adam.count(step, g_done), finite, g_done)
        losses = ops.stack((d_loss, g_losses[1]) + g_losses[2])
        if self.loss_scale.scales and not self.loss_scale.is_dynamic:
            count = self.step + finite.astype(mstype.int32)  # a step that overflows does not count
        done: tuple = (g_done, d_done, self.store(vectors), ops.assign(self.step, count))
        if self.loss_scale.is_dynamic:
            done = (done, self.loss_scale.adjust(finite))
        return ops.depend(losses, done)

    def discriminator_gradients(self, a, b, fake_a, fake_b, vectors_real, vectors_fake, loss_scale):
        (_, loss), gradients = self.d_gradient(a, b, fake_a, fake_b, vectors_real, vectors_fake, loss_scale)
        if self.averages:
            gradients = self.d_reducer(gradients)
        return (loss,) + self.unscale(gradients, loss_scale)

    def unscale(self, gradients, loss_scale):
        gradients, finite = self.loss_scale.unscale(gradients, loss_scale)
        return (clip_by_global_norm(gradients) if self.clips_norm else gradients), finite
