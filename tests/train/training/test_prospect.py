"""What a run says of itself: before it starts, while it compiles, after ten steps, in each line of its log."""

import dataclasses
import logging
from pathlib import Path

import pytest

from ugatit_train.options.config import Options
from ugatit_train.options.schedule import Schedule
from ugatit_train.performance import planner
from ugatit_train.runtime import Worker
from ugatit_train.training import prospect

SCHEDULE = Schedule(iteration=3000, decay_start=3000, print_every=1000, save_every=500)
SMALL = Options(light=True, img_size=64, n_dis=5, ch=16, iteration=3000)


@pytest.fixture(autouse=True)
def machine(monkeypatch, caplog):
    """One of 100 GFLOP/s."""
    monkeypatch.setattr(prospect, "_gflop_per_s", lambda: 100.0)
    caplog.set_level(logging.INFO, logger="ugatit_train")


def test_before_it_starts_a_run_says_what_it_will_take(caplog):
    prospect.tell(SMALL, dataclasses.replace(SCHEDULE, evaluate_every=200), 1000, Worker())
    needs = planner.estimate(SMALL)
    step_s = planner.step_seconds(needs, 100.0)
    takes = f"about {needs.total / 2**30:.1f} GiB, {step_s:.2f} s a step and {planner.duration(step_s * 2000)} in all"
    assert caplog.messages == [
        f"2000 steps at 64 x 64 px, batch 1, light generator (ch 16) on CPU in float32: {takes}, by estimate",
        "a line here every 100 steps, sample pictures every 1000 steps, a checkpoint every 500 steps or half an hour, "
        "an evaluation every 200 steps",
    ]


def test_where_no_time_can_be_estimated_it_is_told_later(caplog):
    prospect.tell(SMALL, SCHEDULE, 0, Worker(0, 2))
    small = dataclasses.replace(SMALL, device_target="Ascend", precision="hf32")
    prospect.tell(small, dataclasses.replace(SCHEDULE, print_every=5), 0, Worker())
    on_two, _, on_a_card, often = caplog.messages
    assert "on CPU x 2 in float32: about" in on_two and "on Ascend in hf32: about" in on_a_card
    assert often.startswith("a line here every step, sample pictures every 5 steps")
    for line in (on_two, on_a_card):
        assert line.endswith("GiB by estimate; the time is told after 10 steps")


def test_a_run_that_is_meant_for_a_card_is_told_so_on_a_cpu(caplog):
    paper = Options()
    prospect.tell(paper, paper.schedule(3400), 0, Worker())
    days = round(planner.step_seconds(planner.estimate(paper), 100.0) * 1_000_000 / 86400)
    assert days > 100
    said = f"on this CPU this run takes {days} days: it is meant for a card: give --device_target, or --light, a "
    assert caplog.messages[-1].startswith(said)
    assert "--light" not in planner.too_long(Options(light=True), 8 * 86400)
    assert planner.too_long(paper, 7 * 86400) == planner.too_long(Options(device_target="GPU"), 1e9) == ""


def test_compiling_is_announced_and_whether_the_next_start_is_spared_it(caplog):
    prospect.tell_of_compiling(Path("graphs"))
    prospect.tell_of_compiling(None)
    kept, not_kept = caplog.messages
    assert kept.endswith("the next start with these settings takes it from graphs")
    assert not_kept.endswith("each start does it, for the graph is not kept")


def test_after_ten_steps_the_rest_is_told_by_measurement_and_then_in_each_line(caplog):
    pace = prospect.Pace(SMALL, SCHEDULE)
    pace.add(101, 60.0)  # the first one of a start makes what the others find made
    assert pace.said(101) == ""
    for step in range(102, 111):
        pace.add(step, 0.5)
    assert pace.said(110) == ", mean: 0.500s, left: 24 min" and not caplog.messages
    pace.add(111, 0.5)
    assert caplog.messages == [
        "measured: 0.500 s a step; the other 2889 take 24 min, besides pictures, checkpoints and judging"
    ]
    for step in range(112, 112 + prospect.MEAN_OF):
        pace.add(step, 0.25)
    assert pace.said(2900) == ", mean: 0.250s, left: 25 s" and len(caplog.messages) == 1


def test_a_measured_run_that_is_meant_for_a_card_is_told_so(caplog):
    pace = prospect.Pace(SMALL, SCHEDULE)
    for step in range(1, 12):
        pace.add(step, 600.0)
    assert "other 2989 take 20 d 18 h" in caplog.messages[0]
    assert caplog.messages[1].startswith("on this CPU this run takes 21 days: it is meant for a card: give --device")


def test_a_run_of_eleven_steps_has_nothing_left_to_tell(caplog):
    pace = prospect.Pace(SMALL, dataclasses.replace(SCHEDULE, iteration=11))
    for step in range(1, 12):
        pace.add(step, 0.5)
    assert not caplog.messages and pace.said(11) == ", mean: 0.500s, left: 0 s"
