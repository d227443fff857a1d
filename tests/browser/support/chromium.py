"""Chromium, led by Playwright, and what a test wants to know of a visit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests import programs

_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

PATIENCE_MS = 180_000
"""For whatever a page must show at last; far more than it takes, because the machine may be busy."""
expect.set_options(timeout=PATIENCE_MS)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start a browser with a profile of its own, and end it.

    :raises ProgramMissingError: it is not there.
    """
    path = programs.chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, headless=True, args=_FLAGS, timeout=PATIENCE_MS
        )
        yield browser
        browser.close()


@dataclass
class Visit:
    """A user's window on Airflow.

    :param page: the window.
    :param dialogs: texts of dialogs that scripts have opened.
    :param refused: what the content policy has refused, as the console tells.
    :param strangers: addresses outside of Airflow that were asked for something.
    """

    page: Page
    base: str
    dialogs: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)

    def open(self, path: str) -> Any:
        """Load a page; return the answer."""
        return self.page.goto(self.base + path)

    def log_in(self, name: str) -> None:
        """Log in through Airflow's form."""
        self.page.goto(f"{self.base}/auth/login")
        self.page.locator("input[name=username]").fill(name)
        self.page.locator("input[name=password]").fill(name)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_url(lambda url: "/auth/login" not in url)

    def assert_harmless(self) -> None:
        """Nothing of what the page has shown was taken for code, and nothing was sent or asked for elsewhere."""
        assert (self.dialogs, self.refused, self.strangers) == ([], [], [])
        assert self.page.evaluate("window.attacked") is None


@contextmanager
def visit(
    browser: Browser,
    base: str,
    *,
    scheme: Literal["light", "dark"] = "light",
    size: tuple[int, int] = (1400, 900),
) -> Iterator[Visit]:
    """Open a window that remembers nothing of others.

    :param scheme: which colours the system asks for.
    :param size: of the window, in pixels.
    """
    context = browser.new_context(color_scheme=scheme, viewport={"width": size[0], "height": size[1]})
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    seen = Visit(page, base)
    own = urlsplit(base).netloc

    def stay(dialog: Any) -> None:
        seen.dialogs.append(dialog.message)
        dialog.dismiss()

    def listen(message: Any) -> None:
        if "Content Security Policy" in message.text:
            seen.refused.append(message.text)

    def watch(request: Any) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in ("http", "https") and parts.netloc != own:
            seen.strangers.append(request.url)

    page.on("dialog", stay)
    page.on("console", listen)
    page.on("request", watch)
    yield seen
    context.close()
