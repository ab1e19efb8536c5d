"""The dashboard in a real browser without a window."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

from tests import servers


class Page:
    """The dashboard in a browser without a window."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def text(self) -> str:
        return str(self.driver.find_element(By.TAG_NAME, "body").text)

    def mark(self) -> None:
        """Leave something in the page that does not outlive it."""
        self.driver.execute_script("window.marked = true")

    def marked(self) -> bool:
        """Whether it is still the page that was marked."""
        return bool(self.driver.execute_script("return window.marked === true"))

    def problems(self) -> list[str]:
        """What the browser complained about."""
        return [e["message"] for e in self.driver.get_log("browser") if e["level"] == "SEVERE"]

    def picture(self, name: str) -> None:
        """All of the page as an image, for people: in the folder that SCREENSHOTS names, if it does."""
        if folder := os.environ.get("SCREENSHOTS"):
            whole = {"captureBeyondViewport": True, "format": "png"}
            image = self.driver.execute_cdp_cmd("Page.captureScreenshot", whole)["data"]
            (Path(folder) / f"{name}.png").write_bytes(base64.b64decode(image))

    def row(self, card: str, name: str) -> list[str]:
        """The cells of the first row that has `name` in the table of a card."""
        script = """
            const card = [...document.querySelectorAll('.sm-card')]
                .find(c => c.querySelector('h2') && c.querySelector('h2').innerText.startsWith(arguments[0]));
            const row = card && [...card.querySelectorAll('tr')]
                .find(r => [...r.children].some(c => c.tagName === 'TD' && c.innerText === arguments[1]));
            return row ? [...row.children].map(c => c.innerText) : [];"""
        return list(self.driver.execute_script(script, card, name))


@contextmanager
def browser(folder: Path) -> Iterator[webdriver.Chrome]:
    program = servers.need_program("chromium", "chromium chromium-driver")
    driver = servers.need_program("chromedriver", "chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for argument in (
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1280,1500",
        f"--user-data-dir={folder / 'profile'}",
    ):  # fmt: skip
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    made = webdriver.Chrome(options=options, service=Service(driver))
    try:
        yield made
    finally:
        made.quit()
