"""Somebody who has no mouse."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page, expect


class Keyboard:
    """A person who has no mouse."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def go_to(self, role: Any, name: str) -> None:
        """Press Tab until this has the focus, and see that the focus shows."""
        target = self.page.get_by_role(role, name=name, exact=True)
        expect(target).to_be_visible()
        for _ in range(80):
            self.page.keyboard.press("Tab")
            if target.evaluate("element => element === document.activeElement"):
                assert target.evaluate(
                    "element => getComputedStyle(element).outlineStyle !== 'none' || "
                    "getComputedStyle(element).boxShadow !== 'none'"
                ), f"no visible focus: {name}"
                return
        raise AssertionError(f"Tab never reaches the {role} {name}")

    def press(self, role: Any, name: str) -> None:
        self.go_to(role, name)
        self.page.keyboard.press("Enter")

    def write(self, name: str, text: str) -> None:
        self.go_to("textbox", name)
        self.page.keyboard.type(text)

    def paste(self, name: str, text: str) -> None:
        """As Ctrl+V does, with the line breaks that a text field would drop."""
        self.go_to("textbox", name)
        self.page.evaluate(
            """text => {
              const clipboardData = new DataTransfer();
              clipboardData.setData("text/plain", text);
              const event = new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true });
              document.activeElement.dispatchEvent(event);
            }""",
            text,
        )

    def sees(self, text: str) -> None:
        expect(self.page.get_by_text(text).first).to_be_visible()


def assert_all_within_reach(page: Page) -> None:
    """Tab goes to everything that can be used, once, in the order in which it is read; each shows that it is there."""
    page.evaluate("document.body.tabIndex = -1; document.body.focus(); document.body.removeAttribute('tabindex')")
    for number, wanted in enumerate(page.evaluate(_STOPS)):
        stop = _next_stop(page)
        assert stop["number"] == number, f"{page.url}: Tab goes to {stop['what']} instead of {wanted}"
        assert stop["seen"], f"{page.url}: no focus to be seen, or something lies over it: {wanted}"


def _next_stop(page: Page) -> dict[str, Any]:
    """A date is one field with several stops inside."""
    before = page.evaluate(_HERE)["number"]
    for _ in range(6):
        page.keyboard.press("Tab")
        stop: dict[str, Any] = page.evaluate(_HERE)
        if stop["number"] != before:
            break
    return stop


_STOPS_IN_ORDER = """
  const isStop = (element) => {
    if (element.disabled || element.tabIndex < 0) return false;
    if (!element.checkVisibility({ visibilityProperty: true })) return false;
    if (element.type !== "radio") return true;
    // Of radio buttons with one name, the chosen one or else the first.
    const group = [...document.getElementsByName(element.name)].filter((one) => one.form === element.form);
    return element === (group.find((one) => one.checked) ?? group[0]);
  };
  const kinds = "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex]";
  const stops = [...document.querySelectorAll(kinds)].filter(isStop);
  const named = (element) => element.outerHTML.slice(0, 160);
"""
_STOPS = f"() => {{ {_STOPS_IN_ORDER} return stops.map(named); }}"
_HERE = f"""() => {{
  {_STOPS_IN_ORDER}
  const element = document.activeElement;
  const style = getComputedStyle(element);
  const marked = style.outlineStyle !== "none" || style.boxShadow !== "none";
  const [first] = element.getClientRects();
  const top = first && document.elementFromPoint(first.left + first.width / 2, first.top + first.height / 2);
  const uncovered = top && (element.contains(top) || top.contains(element));
  return {{ number: stops.indexOf(element), what: named(element), seen: Boolean(marked && uncovered) }};
}}"""
