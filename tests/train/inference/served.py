"""A server of the page to try, with known functions in the generators' places, and requests to it."""

import base64
import contextlib
import http.client
import json
import threading

import cv2
import numpy as np

from ugatit_train.inference import models
from ugatit_train.inference.web import offer, server

SIZE = 16


def model(function, light=True):
    def run(x):
        heat = np.broadcast_to(
            np.arange(x.shape[3] // 4, dtype=np.float32), (len(x), 1, x.shape[2] // 4, x.shape[3] // 4)
        )
        return function(x), heat

    size = None if light else (SIZE, SIZE)
    signature = models.Signature(direction="a2b", light=light, img_size=(SIZE, SIZE), img_ch=3, size=size, batch=None)
    return models.Model(run=run, signature=signature)


NEGATIVE, MIRRORED = model(lambda x: -x), model(lambda x: np.ascontiguousarray(x[..., ::-1]))
ABOUT = {
    "name": "<b>first",
    "facts": "Step 3.",
    "hint": "More.",
    "engine": "mindspore",
    "directions": ["a2b", "b2a"],
    "limit_bytes": 100_000_000,
}


@contextlib.contextmanager
def serving(about=ABOUT, sizes=None, host="127.0.0.1", **functions):
    made = server.Server(host, 0)
    functions = functions or {"a2b": NEGATIVE, "b2a": MIRRORED}
    made.offer = offer.Offer(models=functions, about=about, sizes=sizes or {}, too_large="give less")
    goes_on = [True]

    def take_turns():
        while goes_on:
            made.turns.take()

    threads = [threading.Thread(target=take_turns), threading.Thread(target=made.serve_forever, args=(0.01,))]
    for thread in threads:
        thread.start()
    try:
        yield made
    finally:
        goes_on.clear()
        made.turns.ask(lambda: None)
        made.shutdown()
        made.server_close()
        for thread in threads:
            thread.join()


def ask(to, body=None, path="/translate?direction=a2b", headers=()):
    """(status, the answer); a GET without a body."""
    connection = http.client.HTTPConnection("127.0.0.1", to.server_port, timeout=30)
    connection.request("GET" if body is None else "POST", path, body, dict(headers))
    response = connection.getresponse()
    found = response.status, response.read(), response.headers
    connection.close()
    return found


def translated(to, body, direction="a2b"):
    status, answer, _ = ask(to, body, f"/translate?direction={direction}")
    answer = json.loads(answer)
    assert status == 200, answer
    return answer | {name: base64.b64decode(answer[name]) for name in ("seen", "translation", "heatmap")}


def png(picture):
    return cv2.imencode(".png", picture)[1].tobytes()


def pixels(data):
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
