"""The networks and the step of a run, from its options."""

from ugatit_train.forms import Forms, form_for
from ugatit_train.networks.ugatit import Discriminator, Generator, initialise
from ugatit_train.options import config
from ugatit_train.options.schedule import Schedule
from ugatit_train.training.step import Step, StepSettings


def build_step(options: config.Options, schedule: Schedule, world: int = 1, forms: Forms | None = None) -> Step:
    """The networks with their first weights, and the step over them; `forms` are the device's if not given."""
    o = options
    forms = forms or form_for(o.device_target, half=o.precision == "float16")
    generators = [Generator(forms, o.ch, o.n_res, o.image_size[0], o.img_ch, o.light, o.padding) for _ in range(2)]
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
    )
    step = Step(generators, discriminators, settings)
    initialise(step, o.seed)
    return step
