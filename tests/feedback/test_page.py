"""The page in a real browser."""

import http.server
import json
import re
import threading
import urllib.request

import pytest

from ugf_jax.feedback.votes import read_ballots

READY = "!document.querySelector('#task').hidden && !document.querySelector('.chosen, .offline')"
COUNT = "document.querySelector('#count').textContent"
SAID = "document.querySelector('#said').textContent"
HOSTILE = (
    "<script>document.title = 'owned'</script><img src=x onerror=\"document.title = 'owned'\">",
    "\"quotes' & <b>marks</b> {{ 7 * 7 }}",
    "\u202eoverride \u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627",
    "\u05e2\u05d9\u05d2\u05d5\u05dc \u05d0\u05d3\u05d5\u05dd",
    "unbroken" * 60,
)


def votes(tmp_path):
    return read_ballots(tmp_path / "votes.jsonl").standing()


def press(tab, key, count, **how):
    tab.until(READY)
    tab.press(key, **how)
    tab.until(f"{COUNT}.startsWith('{count} /')")


def test_the_whole_flow_by_keyboard(chromium, make_study, serving, tmp_path):
    with serving(make_study()) as address:
        tab = chromium.open(address)
        tab.until("document.activeElement.id === 'rater'")
        for letter in "Anna":
            tab.press(letter)
        tab.press("Enter")
        tab.until("location.pathname === '/label'")
        tab.until(READY)
        shown = []
        for number, (key, choice) in enumerate(
            (("ArrowLeft", "left"), ("ArrowRight", "right"), ("t", "tie"), ("b", "bad"), ("s", "skip"))
        ):
            shown.append(tab.run("document.querySelector('#prompt').textContent"))
            press(tab, key, number + 1)
            assert [(v.prompt, v.choice) for v in votes(tmp_path)][number] == (shown[number], choice)
        tab.until(READY)
        assert "Skipped. Pair 6 of 6." in tab.run(SAID)
        press(tab, "u", 4)
        press(tab, "z", 3, ctrl=True)
        tab.until(READY)
        assert tab.run("document.querySelector('#prompt').textContent") == shown[3]
        zoom_and_back(tab)
        for number, key in enumerate(("ArrowLeft", "ArrowLeft", "ArrowRight")):
            press(tab, key, 4 + number) if number < 2 else tab.press(key)
            tab.until(f"{COUNT}.startsWith('{4 + number} /')")
            if number < 2:
                tab.until(READY)
        tab.until("document.querySelector('#heading').textContent === 'That was the last pair'")
        assert tab.run("document.activeElement.id") == "message"
        assert [v.choice for v in votes(tmp_path)] == ["left", "right", "tie", "left", "left", "right"]
        assert len({v.item for v in votes(tmp_path)}) == 6
        tab.press("ArrowLeft")  # there is nothing left to choose
        tab.run("document.querySelector('#after a').click()")
        tab.until("location.pathname === '/results' && document.body?.innerText.includes('Anna')")
        assert len(votes(tmp_path)) == 6
        assert tab.problems == []


def zoom_and_back(tab):
    """Looks at both pictures at full resolution; nothing can be chosen meanwhile."""
    before = tab.run(COUNT)
    tab.press("z")
    tab.until("document.querySelector('dialog').open && document.querySelector('#stage img').complete")
    assert tab.run("document.querySelector('#zoomed').textContent") == "The left picture, 64 × 48"
    left = tab.run("document.querySelector('#stage img').src")
    assert tab.run("document.querySelector('#stage img').naturalWidth") == 64
    tab.press("ArrowRight")
    assert tab.run("document.querySelector('#stage img').src") != left
    tab.press("b")
    tab.press("Escape")
    tab.until("!document.querySelector('dialog').open")
    assert tab.run(COUNT) == before


def test_by_mouse_on_a_phone_in_the_dark(chromium, make_study, serving, tmp_path):
    with serving(make_study()) as address:
        tab = chromium.open(f"{address}/label?rater=Anna", width=390, height=844, dark=True, touch=True)
        for number, selector in enumerate(("#right", "footer [data-choice=tie]", "#skip")):
            tab.until(READY)
            tab.click(selector)
            tab.until(f"{COUNT}.startsWith('{number + 1} /')")
        tab.until(READY)
        tab.click("#undo")
        tab.until(f"{COUNT}.startsWith('2 /')")
        tab.until(READY)
        assert [v.choice for v in votes(tmp_path)] == ["right", "tie"]
        assert tab.run("document.documentElement.scrollWidth") == 390
        boxes = tab.run(
            "[...document.querySelectorAll('#pair img, footer button')].map(e => e.getBoundingClientRect().toJSON())"
        )
        assert all(box["left"] >= 0 and box["right"] <= 390 and box["top"] >= 0 and box["bottom"] <= 844 for box in boxes)
        assert all(box["height"] >= 44 for box in boxes)
        assert boxes[1]["top"] > boxes[0]["bottom"]  # one above the other: larger than side by side
        colour = tab.run("getComputedStyle(document.body).backgroundColor")
        assert colour == "rgb(20, 22, 26)"
        assert tab.problems == []


def test_hostile_captions_are_only_text(chromium, make_study, serving):
    with serving(make_study(HOSTILE)) as address:
        tab = chromium.open(f"{address}/label?rater=%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E")
        seen = set()
        for number in range(len(HOSTILE)):
            tab.until(READY)
            prompt, inside, direction, wide = tab.run(
                "(p => [p.textContent, p.children.length, getComputedStyle(p).direction, document.documentElement.scrollWidth])"
                "(document.querySelector('#prompt'))"
            )
            assert inside == 0
            assert direction == ("rtl" if prompt == HOSTILE[3] else "ltr") or prompt == HOSTILE[2]
            assert wide <= 1280
            seen.add(prompt)
            tab.press("t")
            tab.until(f"{COUNT}.startsWith('{number + 1} /')")
        assert seen == set(HOSTILE)
        assert tab.run("document.title") == "Which picture is better?"
        assert tab.run("document.querySelectorAll('script').length") == 1
        assert tab.problems == []


def test_a_second_tab_cannot_vote_twice(chromium, make_study, serving, tmp_path):
    with serving(make_study()) as address:
        tabs = [chromium.open(f"{address}/label?rater=Anna") for _ in range(2)]
        for tab in tabs:
            tab.until(READY)
        assert tabs[0].run("document.querySelector('#prompt').textContent") == tabs[1].run(
            "document.querySelector('#prompt').textContent"
        )
        press(tabs[0], "ArrowLeft", 1)
        press(tabs[1], "ArrowRight", 1)
        tabs[1].until(f"{SAID} === 'This was answered before. It counts once.'")
        assert [v.choice for v in votes(tmp_path)] == ["left"]
        press(tabs[1], "ArrowRight", 2)
        assert [v.choice for v in votes(tmp_path)] == ["left", "right"]


def test_a_held_key_votes_once(chromium, make_study, serving, tmp_path):
    with serving(make_study()) as address:
        tab = chromium.open(f"{address}/label?rater=Anna")
        tab.until(READY)
        for repeat in (False, True, True, True):
            tab.call("Input.dispatchKeyEvent", type="keyDown", key="t", text="t", autoRepeat=repeat)
            tab.until(f"{COUNT}.startsWith('1 /')")
            tab.until(READY)
        assert len(votes(tmp_path)) == 1


def test_a_restart_goes_unnoticed_and_a_stale_token_is_renewed(chromium, make_study, serving, tmp_path):
    with serving(make_study()) as address:
        tab = chromium.open(f"{address}/label?rater=Anna")
        press(tab, "ArrowLeft", 1)
        tab.until(READY)
    tab.press("ArrowRight")  # nobody is there
    tab.until("document.body.classList.contains('offline')")
    assert "kept and sent again" in tab.run(SAID)
    port = int(re.search(r":(\d+)", address)[1])
    with serving(make_study(), port=port):  # with another CSRF token
        tab.until(f"{COUNT}.startsWith('2 /')")
        assert [v.choice for v in votes(tmp_path)] == ["left", "right"]
        press(tab, "b", 3)
        assert [v.choice for v in votes(tmp_path)] == ["left", "right", "bad"]


@pytest.fixture
def foreign_page():
    """`foreign_page(html)`: address of a page on another port, which is another origin."""
    servers = []

    def serve(text):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_):
                pass

        servers.append(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever).start()
        return f"http://127.0.0.1:{servers[-1].server_port}/"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_foreign_page_can_neither_read_nor_vote_nor_frame(chromium, make_study, serving, foreign_page, tmp_path):
    with serving(make_study()) as address:
        item = json.load(urllib.request.urlopen(f"{address}/api/state?rater=Anna"))["item"]
        csrf = json.load(urllib.request.urlopen(f"{address}/api/token"))["csrf"]
        body = json.dumps({"rater": "Anna", "item": item["key"], "ballot": item["ballot"], "choice": "left"})
        tab = chromium.open(
            foreign_page(f"""
            <img src="{address}{item["left"]["url"]}" id="stolen"><iframe src="{address}/label?rater=Anna"></iframe>
            <form method="post" action="{address}/api/vote" enctype="text/plain" target="_blank"><input name="x"></form>
            <script>
            const tries = [
              fetch("{address}/api/state?rater=Anna"),
              fetch("{address}/api/token"),
              fetch("{address}/api/vote", {{method: "POST", headers: {{"X-CSRF-Token": "{csrf}"}}, body: {json.dumps(body)}}}),
              fetch("{address}/api/vote", {{method: "POST", mode: "no-cors", body: {json.dumps(body)}}}),
            ];
            window.outcome = Promise.allSettled(tries).then(
                  all => all.map(one => one.status === "fulfilled" ? one.value.type : "refused"));
                </script>""")
        )
        assert tab.run("window.outcome") == ["refused"] * 4
        assert tab.run("document.querySelector('#stolen').naturalWidth") == 0
        assert any("frame-ancestors" in problem for problem in tab.problems)
        tab.run("document.querySelector('form').submit()")
        own = chromium.open(f"{address}/label?rater=Anna")
        assert votes(tmp_path) == []
        press(own, "ArrowLeft", 1)  # positive control
        assert len(votes(tmp_path)) == 1
