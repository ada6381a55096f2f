"""The page to try itself: what it loads, and how it works in a browser."""

import json
import re
import shutil
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from .browser import Browser
from .served import ABOUT, ask


class Links(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.found = []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            assert not name.startswith("on") and name != "style"
            if name in ("src", "href"):
                self.found.append(value)


def test_the_page_names_its_own_files_only(served):
    status, html, headers = ask(served, path="/")
    links = Links(html.decode()).found
    assert links == ["data:,", "run.css", "page.css", "page.js"]
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';") and "unsafe" not in policy
    assert "Python" not in headers["Server"]
    for link in links[1:]:
        status, text, headers = ask(served, path=f"/{link}")
        assert status == 200 and not re.search(r"https?:|@import|url\(", text.decode())
        assert headers["Content-Security-Policy"] == policy and headers["X-Content-Type-Options"] == "nosniff"
    assert json.loads(ask(served, path="/about.json")[1]) == ABOUT


STATUS = "document.getElementById('status')"
PIXEL = """(async (id) => {
  const image = document.getElementById(id), canvas = document.createElement("canvas");
  await image.decode();
  [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
  const drawn = canvas.getContext("2d");
  drawn.drawImage(image, 0, 0);
  return [canvas.width, canvas.height, ...drawn.getImageData(0, 0, 1, 1).data];
})"""


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed: apt-get install chromium")
def test_a_browser_translates_with_it(served, tmp_path):
    """A picture is dropped, and one is chosen; all that the browser asks for is this server's."""
    left = np.zeros((40, 40, 3), np.uint8)
    left[:, :20] = (0, 0, 200)  # BGR
    cv2.imwrite(str(tmp_path / "red.left.png"), left)
    (tmp_path / "note.png").write_text("no picture")
    browser = Browser(tmp_path / "profile")
    try:
        browser("Page.navigate", url=served.url)
        browser.wait("document.querySelector('h1')?.textContent == '<b>first'")
        assert browser.value("document.getElementById('limit').textContent") == "100 MB"

        def shown(name):
            return browser("Runtime.evaluate", expression=f"{PIXEL}('{name}')", awaitPromise=True, returnByValue=True)[
                "result"
            ]["value"]

        def saved(name):
            return browser.value(f"document.getElementById('save_{name}').download")

        browser.drop(300, 300, tmp_path / "red.left.png")
        words = browser.wait(f"!document.body.classList.contains('busy') && {STATUS}.textContent")
        assert words.startswith("red.left.png · 16 × 16 px · 0.")
        assert [shown(name) for name in ("seen", "translation")] == [
            [16, 16, 200, 0, 0, 255],
            [16, 16, 55, 255, 255, 255],
        ]
        assert shown("heatmap") == [16, 16, 0, 0, 128, 255]
        assert (saved("translation"), saved("heatmap")) == ("red.left.a2b.png", "red.left.a2b.heatmap.png")
        browser.value("document.querySelector('input[value=b2a]').click()")
        browser.wait("document.getElementById('save_translation').download == 'red.left.b2a.png'")
        assert shown("translation") == [16, 16, 0, 0, 0, 255]
        for width in (390, 1280):
            browser.look(width, dark=width == 390)
            assert browser.value("[innerWidth, document.documentElement.scrollWidth <= innerWidth]") == [width, True]
        assert browser.complaints == []
        (tmp_path / "folder").mkdir()
        unread = "cannot be read: a folder, or changed since it was chosen: choose it again"
        for dropped, words in [
            ([tmp_path / "red.left.png", tmp_path / "note.png"], "One picture at a time, as a file."),
            ([tmp_path / "folder"], f"folder: {unread}"),
        ]:
            browser.drop(300, 300, *dropped)
            browser.wait(f"{STATUS}.textContent == {json.dumps(words)}")
        browser.choose("#file", tmp_path / "red.left.png")
        browser.wait(f"{STATUS}.textContent.startsWith('red.left.png · ')")
        cv2.imwrite(str(tmp_path / "red.left.png"), left[:30])
        browser.value("document.querySelector('input[value=a2b]').click()")
        browser.wait(f"{STATUS}.textContent == 'red.left.png: {unread}'")
        assert browser.value("document.getElementById('pictures').hidden")
        browser.choose("#file", tmp_path / "note.png")
        browser.wait(f"{STATUS}.className == 'status problem'")
        assert browser.value(f"{STATUS}.textContent") == "note.png: not an image: unknown format"
        assert browser.value("document.getElementById('pictures').hidden")
        served.shutdown()
        served.server_close()
        browser.choose("#file", tmp_path / "red.left.png")
        browser.wait(f"{STATUS}.textContent.startsWith('The server does not answer')")
        assert {url.removeprefix("blob:").startswith(served.url) for url in browser.requests if url != "data:,"} == {
            True
        }
        assert len(browser.requests) >= 10
    finally:
        browser.close()
