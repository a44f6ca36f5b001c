"""A browser window as a person has it, which notes what must never happen in it."""

import re
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, ConsoleMessage, Locator, Page, Request, expect

PATIENCE = 30_000  # milliseconds; the machine may be busy
expect.set_options(timeout=PATIENCE)
AXE = Path(__file__).with_name("axe.min.js")
# The browser's own line about a status that we meant to answer, and about a server that is away.
EXPECTED = re.compile(
    r"Failed to load resource: (the server responded with a status of [45]\d\d|net::ERR_CONNECTION_REFUSED)"
    r"|htmx: htmx:error: Failed to fetch"  # what htmx says of a server that is away
)
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
# Said when a test types before the first rendering; with a script a page must not cause it.
TYPED_EARLY = "Autofocus processing was blocked because a document already has a focused element."
RUN_AXE = """async ([tags, rules]) => {
  const only = rules.length ? {type: "rule", values: rules} : {type: "tag", values: tags};
  const found = await axe.run(document, {runOnly: only, resultTypes: ["violations"]});
  const places = (one) => one.nodes.map((node) => node.html).slice(0, 3).join(" | ");
  return found.violations.map((one) => `${one.id}: ${places(one)}`);
}"""
NAME = """(() => {
  const one = document.activeElement;
  return (one.getAttribute("aria-label") || one.labels?.[0]?.textContent || one.textContent).trim();
})()"""


class Window:
    """A page in a context of its own: its locale, zone and cookies."""

    def __init__(self, context: BrowserContext, address: str, *, javascript: bool = True) -> None:
        self.javascript = javascript
        self.address = address
        self.context = context
        self.complaints: list[str] = []
        self.strangers: list[str] = []
        self.requests: list[str] = []
        context.set_default_timeout(PATIENCE)
        context.on("request", self._note_request)
        context.on("console", self._note_message)
        self.page: Page = context.new_page()
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def close(self) -> None:
        """Close the page and leave the context to others."""
        self.context.remove_listener("request", self._note_request)
        self.context.remove_listener("console", self._note_message)
        self.page.close()

    def _note_request(self, request: Request) -> None:
        self.requests.append(f"{request.method} {urlsplit(request.url).path}")
        if not request.url.startswith((self.address, "data:")):
            self.strangers.append(request.url)

    def _note_message(self, message: ConsoleMessage) -> None:
        early = message.text == TYPED_EARLY and not self.javascript
        if not early and not EXPECTED.match(message.text):
            self.complaints.append(message.text)

    def check_manners(self) -> None:
        """Fail when a page complained or asked a stranger."""
        assert (self.complaints, self.strangers) == ([], [])

    def go(self, path: str) -> None:
        """Open an address of ours, and wait for what a list of webhooks loads, which moves its rows."""
        self.page.goto(self.address + path)
        if self.javascript:
            expect(self.page.locator(".health:empty")).to_have_count(0)

    @property
    def path(self) -> str:
        """The path of the address that is shown."""
        return urlsplit(self.page.url).path

    def link(self, name: str) -> Locator:
        return self.page.get_by_role("link", name=name)

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name)

    def field(self, name: str) -> Locator:
        return self.page.get_by_label(name)

    def text(self, name: str, *, exact: bool = False) -> Locator:
        return self.page.get_by_role("textbox", name=name, exact=exact)

    @property
    def dialog(self) -> Locator:
        return self.page.locator("#dialog")

    @property
    def toast(self) -> Locator:
        return self.page.locator(".toast")

    def focused(self) -> str:
        """Return the id of what has the focus."""
        return self.page.evaluate("document.activeElement.id")

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def tab_to(self, name: str) -> None:
        """Press Tab until the control with this accessible name has the focus."""
        for _ in range(80):
            self.press("Tab")
            if self.page.evaluate(NAME).startswith(name):
                return
        raise AssertionError(f"Tab does not lead to {name}.")

    def expect_whole(self) -> None:
        """Fail unless a whole page is shown, not a bare fragment."""
        expect(self.page.locator("html > head > link[rel=stylesheet]:not(#dark)")).to_have_count(1)

    def sideways(self) -> int:
        """Return by how many pixels the page is wider than the window."""
        return self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")

    def violations(self, *rules: str) -> list[str]:
        """Return what axe finds, by all its rules or by some."""
        if not self.page.evaluate("'axe' in window"):
            self.page.add_script_tag(path=AXE)
        return self.page.evaluate(RUN_AXE, [RULES, list(rules)])
