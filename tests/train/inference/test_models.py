"""What a generator takes, as exported files hold it."""

import json

import pytest

from ugatit_train.inference import models


def test_a_signature_is_read_from_the_json_of_version_0_1():
    text = '{"direction": "b2a", "light": true, "img_size": [16, 24], "img_ch": 1, "size": [8, 12], "batch": null}'
    signature = models.Signature.of(text)
    assert signature == models.Signature(
        direction="b2a", light=True, img_size=(16, 24), img_ch=1, size=(8, 12), batch=None
    )
    assert signature.text() == text == json.dumps(json.loads(text))
    assert signature.shape() == [None, 1, 8, 12]


GOOD = {"direction": "b2a", "light": True, "img_size": [16, 24], "img_ch": 1, "size": None, "batch": None}


@pytest.mark.parametrize(
    "text",
    ["", "[1]", '"a2b"', "3", '{"x": 1}']
    + [
        json.dumps(GOOD | change)
        for change in (
            {"img_size": None}, {"img_size": 16}, {"img_size": [16]}, {"size": [8, "8"]}, {"direction": None},
            {"light": 1}, {"img_ch": 2}, {"batch": "1"},
        )
    ],
)  # fmt: skip
def test_a_note_that_is_no_signature(text):
    models.Signature.of(json.dumps(GOOD))
    with pytest.raises((TypeError, ValueError)):
        models.Signature.of(text)
