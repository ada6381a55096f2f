"""The networks and the step of a run, from its options, and the generators that its pictures are made with."""

from ugatit_train.forms import Forms, form_for
from ugatit_train.networks.ugatit import Discriminator, Generator, initialise
from ugatit_train.options import config
from ugatit_train.options.schedule import Schedule
from ugatit_train.training import average, checkpoint
from ugatit_train.training.step import Step, StepSettings


def build_step(options: config.Options, schedule: Schedule, world: int = 1, forms: Forms | None = None) -> Step:
    """The networks with their first weights, and the step over them; `forms` are the device's if not given."""
    o = options
    forms = forms or form_for(o.device_target, half=o.precision == "float16")
    generators = [_generator(o, forms) for _ in range(2)]
    layers = (o.n_dis + 1, o.n_dis + 1, o.n_dis - 1, o.n_dis - 1)  # GA, GB, LA, LB
    discriminators = [Discriminator(forms, o.ch, n, o.img_ch, o.padding, o.spectral_norm) for n in layers]
    settings = StepSettings(
        lr=o.lr,
        weight_decay=o.weight_decay,
        adv_weight=o.adv_weight,
        cycle_weight=o.cycle_weight,
        identity_weight=o.identity_weight,
        cam_weight=o.cam_weight,
        iteration=schedule.iteration,
        decay_start=schedule.decay_start,
        decay=schedule.decay,
        sn_iterations=o.sn_iterations,
        update_order=o.update_order,
        use_global_norm=o.use_global_norm,
        recompute=o.recompute,
        loss_scale=o.loss_scale or ("dynamic" if o.precision == "float16" else 1.0),
        world=world,
        ema=o.ema,
    )
    step = Step(generators, discriminators, settings)
    initialise(step, o.seed)
    average.begin(step.state())
    return step


def _generator(options: config.Options, forms: Forms) -> Generator:
    o = options
    return Generator(forms, o.ch, o.n_res, o.image_size[0], o.img_ch, o.light, o.padding)


def pictured(step: Step, options: config.Options) -> tuple[Generator, Generator]:
    """The generators that pictures are made with meanwhile, genA2B and genB2A: of the averages if the step has them.

    They have the Parameters of the step, so they follow it and take no memory.
    """
    if step.average is None:
        return step.genA2B, step.genB2A
    return _averaged(step, options, "genA2B"), _averaged(step, options, "genB2A")


def _averaged(step: Step, options: config.Options, network: str) -> Generator:
    state, generator = step.state(), _generator(options, step.genA2B.forms)
    cells = dict(generator.cells_and_names())
    for name, _ in list(generator.parameters_and_names()):
        own = f"{network}.{name}"
        at, _, last = name.rpartition(".")
        setattr(cells[at], last, state.get(f"{checkpoint.EMA}.{own}", state[own]))
    return generator
