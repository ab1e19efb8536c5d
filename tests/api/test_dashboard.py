"""The page, in a real browser without a window."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

from connectors.memory import MemoryStatusStore
from stream_monitor.catalogs import MemoryCatalog
from stream_monitor.dashboard.views import Watcher
from stream_monitor.status.comparisons import compare, reference_body
from tests.api import bodies, scene
from tests.servers import need_program, wait_until


@pytest.fixture(scope="module")
def stage() -> Iterator[scene.Scene]:
    """Served once: NiceGUI has one set of pages per process."""
    made = scene.Scene(scene.config())
    made.start()
    wait_until(lambda: _answers(made.url), 60, "the api")
    yield made
    made.stop()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", timeout=60, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    program = need_program("chromium", "chromium chromium-driver")
    driver = need_program("chromedriver", "chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--window-size=1280,1500",
        f"--user-data-dir={tmp_path / 'profile'}",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    made = webdriver.Chrome(options=options, service=Service(driver))
    yield made
    made.quit()


def _text(browser: webdriver.Chrome) -> str:
    return str(browser.find_element(By.TAG_NAME, "body").text)


def _clicked(browser: webdriver.Chrome, path: str) -> bool:
    try:
        browser.find_element(By.XPATH, path).click()
    except StaleElementReferenceException:  # the page was drawn anew in between
        return False
    return True


def test_the_page_changes_while_documents_change(
    stage: scene.Scene, browser: webdriver.Chrome, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(*_: object, **__: object) -> list[str]:
        raise ConnectionError("redis: refused")

    with monkeypatch.context() as away:
        away.setattr(stage.store, "scopes", gone)
        browser.get(stage.url)
        wait_until(lambda: "The status store cannot be read: redis: refused" in _text(browser), 60, "the banner")
        for title in ("Alerts", "Models", "Service"):
            card = browser.find_element(By.XPATH, f"//h2[.='{title}']/..").text
            assert card == f"{title}\nNot known: the status store cannot be read."
        for untrue in ("nothing needs you", "No model yet", "No sink is configured", "No tap has a partition"):
            assert untrue not in _text(browser)
    wait_until(lambda: "no tap is alive" in _text(browser), 60, "the empty page")
    assert "NOT WORKING" in _text(browser)
    assert "nothing needs you" in _text(browser)
    assert "No window has closed yet" in _text(browser)

    scene.busy(stage)
    wait_until(lambda: "Alerts: 1 firing" in _text(browser), 30, "the alert")
    wait_until(lambda: "working" in _text(browser), 30, "the service being ready")
    wait_until(lambda: "reference" in _text(browser), 30, "the comparison")
    wait_until(lambda: browser.title == "(1) stream-monitor", what="the title")
    assert "drift for 2 windows: amount: psi 0.41, threshold 0.2" in _text(browser)
    assert scene.HOSTILE in _text(browser)  # shown as text, not run
    if "SCREENSHOTS" in os.environ:
        browser.save_screenshot(f"{os.environ['SCREENSHOTS']}/busy.png")

    stage.put(bodies.window(14, layout=scene.LAYOUT.id), bodies.model(revision=2, rows=7_654))
    fired = {"to": "firing", "reason": "drift for 2 windows: amount: psi 0.41, threshold 0.2"}
    ended = {"to": "resolved", "reason": "superseded by 4"}
    stage.put(bodies.alert("a1", state="resolved", revision=2, reason="superseded by 4", transitions=[fired, ended]))
    wait_until(lambda: "1970-01-01 00:14:00" in _text(browser), 30, "the new window")
    wait_until(lambda: "firing" not in _text(browser), 30, "the alert being resolved")
    wait_until(lambda: browser.title == "stream-monitor", what="the title")
    assert "drift for 2 windows: amount: psi 0.41, threshold 0.2; now: superseded by 4" in _text(browser)

    wait_until(lambda: _clicked(browser, "//h2[.='Models']/..//td[.='churn']"), what="a click")
    wait_until(lambda: "No column is past its threshold." in _text(browser), 30, "the other model")

    browser.get(f"{stage.url}/?alert=a0")
    wait_until(lambda: "Alert a0" in _text(browser) and "model churn" in _text(browser), 30, "the alert of a link")
    assert "No column is past its threshold." in _text(browser)  # its model is the one that is shown
    browser.get(f"{stage.url}/?alert=a9")
    wait_until(lambda: "There is no such alert" in _text(browser), 30, "the alert that is none")

    problems = [e["message"] for e in browser.get_log("browser") if e["level"] == "SEVERE"]
    assert problems == []
    asked = set()
    for entry in browser.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            asked.add(message["params"]["request"]["url"])
    own = (stage.url, "data:", "blob:", "chrome:")  # the last: the browser's own first page
    elsewhere = {url for url in asked if not url.startswith(own)}
    assert elsewhere == set()


def test_the_page_leaves_the_api_its_errors(stage: scene.Scene) -> None:
    with httpx.Client(base_url=stage.url, timeout=60, trust_env=False) as client:
        for path, method, code in (
            ("/v1/nothing", "GET", 404),
            ("/nothing", "GET", 404),
            ("/v1/models", "DELETE", 405),
        ):
            answer = client.request(method, path)
            assert (answer.status_code, answer.headers["content-type"]) == (code, "application/problem+json")
        page = client.get("/")
        assert (page.status_code, page.headers["x-content-type-options"]) == (200, "nosniff")
        assert "https://" not in page.text


def test_a_reference_is_compared_with_what_has_its_layout() -> None:
    catalog = MemoryCatalog()
    body = reference_body(catalog, scene.reference(catalog))
    assert body["rows"] == 100
    amount = body["columns"]["amount"]
    now = {**amount, "counts": [50, 30, 20], "missing": 25}
    found = compare(now, amount)
    assert found.labels == ("< 10", "10 to 100", ">= 100", "missing")
    assert found.reference == (25.0, 50.0, 25.0, 0.0)
    assert found.current == (40.0, 24.0, 16.0, 20.0)
    assert compare({**now, "layout": "another"}, amount).reference == ()
    country = body["columns"]["country"]
    assert compare({**country, "counts": [1, 3]}, country).labels == ("de", "fr<script>")
    with pytest.raises(KeyError):
        reference_body(catalog, "unknown")


def test_many_bins_become_few_bars() -> None:
    many = {
        "type": "numeric",
        "layout": "l",
        "edges": [float(n) for n in range(100)],
        "counts": [1] * 101,
        "missing": 0,
        "invalid": 0,
        "other": 0,
    }
    found = compare(many, None)
    assert len(found.labels) == 20
    assert sum(found.current) == pytest.approx(100, abs=0.1)
    assert compare({**many, "counts": [0] * 101}, None).current == (0.0,) * 20

    # What has moved into a corner is not one bar there.
    moved = compare({**many, "counts": [0] * 91 + [7] * 10}, {**many, "counts": [1] * 91 + [0] * 10})
    assert sum(share > 0 for share in moved.current) == sum(share > 0 for share in moved.reference) == 10
    assert moved.labels[0] == "< 9"
    names = {**many, "type": "categorical", "categories": [f"c{n}" for n in range(101)]}
    assert compare(names, None).labels[-1] == "81 more"


def test_a_store_that_goes_away_leaves_the_last_view_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    store = MemoryStatusStore()
    now = [1_000_000]

    async def unready() -> list[str]:
        return ["store: gone"]

    async def gone(kind: str) -> list[str]:
        raise ConnectionError("redis: refused")

    async def check() -> None:
        watcher = Watcher(store, scene.config, unready, lambda: now[0], None)
        await store.put([bodies.model(), bodies.alert("a1")])
        assert [m["model"] for m in (await watcher.view()).models] == ["fraud"]
        monkeypatch.setattr(store, "scopes", gone)
        assert (await watcher.view()).error == ""  # fresh enough
        now[0] += 1000
        view = await watcher.view()
        assert view.error == "The status store cannot be read: redis: refused"
        assert [a["id"] for a in view.alerts] == ["a1"]
        assert view.known
        fresh = await Watcher(store, scene.config, unready, lambda: now[0], None).view()
        assert (fresh.known, fresh.error) == (False, view.error)
        monkeypatch.setattr(store, "page", lambda *_, **__: gone(""))
        assert not (await watcher.detail(view.models[0], "")).known  # a page opened now is served all the same

    asyncio.run(check())
