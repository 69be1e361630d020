"""Studies over small drawings, a running server, and a Chromium that is driven over its DevTools pipe."""

import base64
import contextlib
import fcntl
import itertools
import json
import os
import secrets
import select
import shutil
import socket
import subprocess
import sys
import threading
import time

import cv2
import numpy as np
import pytest
import uvicorn

from ugf_jax.feedback.guard import Access, host_names
from ugf_jax.feedback.pictures import find_samples, pair_up
from ugf_jax.feedback.schedule import Schedule, Secret
from ugf_jax.feedback.server import configure, make_app
from ugf_jax.feedback.study import Models, Study
from ugf_jax.feedback.votes import VoteFile

PATIENCE = 120.0  # seconds; the machine may be busy


@pytest.fixture
def make_pictures(tmp_path):
    """`make_pictures(prompts, models="ab")`: a folder of one picture of each prompt for each model."""

    def make(prompts, models="ab", samples=1):
        folders = []
        for model in models:
            folder = tmp_path / f"pictures-{model}"
            folder.mkdir()
            lines = []
            for (number, prompt), sample in itertools.product(enumerate(prompts), range(samples)):
                pixels = np.full((48, 64, 3), (40 * ("ab".index(model) + 1), (37 * number) % 256, 90 * sample), np.uint8)
                name = f"{number:04d}-{sample}-64x48.png"
                cv2.imwrite(str(folder / name), pixels)
                lines.append({"file": name, "prompt": prompt, "sample": sample, "width": 64, "height": 48})
            (folder / "results.json").write_text(json.dumps({"generate": {"images": lines}}))
            folders.append(folder)
        return folders

    return make


@pytest.fixture
def make_study(tmp_path, make_pictures):
    """`make_study(prompts)`: a study of two models; called again it goes on with the same file, as after a restart."""
    made = {}

    def make(prompts=tuple(f"prompt {i}" for i in range(6)), overlap=1.0, painter=None):
        if "file" in made:
            made["file"].close()
        made.setdefault("folders", None)
        made["folders"] = made["folders"] or make_pictures(prompts)
        items = pair_up([find_samples(folder, None) for folder in made["folders"]], 1, tmp_path)
        made["file"] = VoteFile(tmp_path / "votes.jsonl", {"A": "a", "B": "b"})
        schedule = Schedule(items, Secret(made["file"].ballots.key), overlap)
        return Study(made["file"], schedule, Models("model <a>", "model b"), painter)

    yield make
    if "file" in made:
        made["file"].close()


@pytest.fixture
def serving():
    """`with serving(study) as address:` runs a real server on a port of this machine."""

    @contextlib.contextmanager
    def run(study, token=None, port=0):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen()
        server = uvicorn.Server(configure(make_app(study, Access(host_names([]), secrets.token_hex(16), token))))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = server.force_exit = True
            thread.join()

    return run


class Browser:
    """Chromium without a window. Commands and answers are JSON objects that end in a zero byte (`--remote-debugging-pipe`)."""

    def __init__(self, program, profile):
        theirs, self.to = os.pipe()
        self.back, answers = os.pipe()
        given = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (theirs, answers)]  # 3 and 4 are where it looks
        start = (
            "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); os.execv(sys.argv[3], sys.argv[3:])"
        )
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
        flags += [
            "--disable-background-networking",
            "--disable-extensions",
            "--remote-debugging-pipe",
            f"--user-data-dir={profile}",
        ]
        command = [sys.executable, "-S", "-c", start, *map(str, given), program, *flags, "about:blank"]
        self.process = subprocess.Popen(command, pass_fds=given, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for end in (theirs, answers, *given):
            os.close(end)
        self.numbers, self.unread, self.tabs = itertools.count(1), b"", {}

    def call(self, method, session=None, **params):
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": params} | ({"sessionId": session} if session else {})
        os.write(self.to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.read(method)
            if answer.get("id") == number:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]
            if answer.get("sessionId") in self.tabs:
                self.tabs[answer["sessionId"]].note(answer)

    def read(self, what):
        deadline = time.monotonic() + PATIENCE
        while b"\0" not in self.unread:
            assert select.select([self.back], [], [], max(0, deadline - time.monotonic()))[0], f"no answer to {what}"
            data = os.read(self.back, 1 << 20)
            assert data, "the browser has ended"
            self.unread += data
        line, self.unread = self.unread.split(b"\0", 1)
        return json.loads(line)

    def open(self, address, width=1280, height=800, dark=False, touch=False):
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        tab = self.tabs[session] = Tab(self, session)
        for domain in ("Page", "Runtime", "Log"):
            tab.call(f"{domain}.enable")
        tab.call("Emulation.setFocusEmulationEnabled", enabled=True)
        tab.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=touch)
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        tab.call("Emulation.setEmulatedMedia", features=features)
        tab.go(address)
        return tab

    def close(self):
        self.call("Browser.close")
        self.process.wait(PATIENCE)
        os.close(self.to)
        os.close(self.back)


class Tab:
    """One page. `problems` collects what went wrong on it: errors of scripts, refused resources."""

    def __init__(self, browser, session):
        self.browser, self.session, self.problems = browser, session, []

    def note(self, event):
        if event["method"] == "Runtime.exceptionThrown":
            self.problems.append(event["params"]["exceptionDetails"].get("exception", {}).get("description", "exception"))
        if event["method"] == "Log.entryAdded" and event["params"]["entry"]["level"] == "error":
            self.problems.append(event["params"]["entry"]["text"])

    def call(self, method, **params):
        return self.browser.call(method, self.session, **params)

    def go(self, address):
        self.call("Page.navigate", url=address)
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    def run(self, script):
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, condition):
        deadline = time.monotonic() + PATIENCE
        while not self.run(condition):
            assert time.monotonic() < deadline, (condition, self.run("document.body?.innerText"), self.problems)
            time.sleep(0.02)

    def press(self, key, ctrl=False):
        codes = {"ArrowLeft": 37, "ArrowRight": 39, "Escape": 27, "Tab": 9, "Enter": 13, " ": 32}
        event = {"key": key, "windowsVirtualKeyCode": codes.get(key, ord(key[0].upper())), "modifiers": 2 if ctrl else 0}
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 and not ctrl else "")
        self.call("Input.dispatchKeyEvent", type="keyDown", **event, **({"text": text} if text else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", **event)

    def click(self, selector):
        box = self.run(f"document.querySelector({json.dumps(selector)}).getBoundingClientRect().toJSON()")
        at = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2, "button": "left", "clickCount": 1}
        self.call("Input.dispatchMouseEvent", type="mousePressed", **at)
        self.call("Input.dispatchMouseEvent", type="mouseReleased", **at)

    def screenshot(self, path):
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    """A running `Browser`."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("needs Chromium, which this machine does not have (Debian: apt-get install chromium)")
    browser = Browser(program, tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.close()
