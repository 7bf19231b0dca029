// A run page that brings itself up to date (htmx asks every two seconds): what the reader has opened stays open,
// and the focus stays where it is.
(() => {
  "use strict";
  let focused = null;

  const focusable = (part) => [...part.querySelectorAll("a[href], button, summary, [tabindex]")];

  document.addEventListener("htmx:oobBeforeSwap", (event) => {
    const { target, fragment } = event.detail;
    for (const details of target.querySelectorAll("details[id]")) {
      const next = fragment.querySelector(`#${CSS.escape(details.id)}`);
      if (next) next.open = details.open;
    }
    if (!target.contains(document.activeElement)) return;
    focused = { part: target.id, index: focusable(target).indexOf(document.activeElement) };
  });

  document.addEventListener("htmx:afterSettle", () => {
    const part = focused && document.getElementById(focused.part);
    // htmx itself finds an element that has an id again.
    if (part && document.activeElement === document.body) focusable(part)[focused.index]?.focus({ preventScroll: true });
    focused = null;
  });

  // Signed out meanwhile: the answer is the sign-in page, which belongs into the window and not into this page.
  document.addEventListener("htmx:beforeSwap", (event) => {
    const answered = new URL(event.detail.xhr.responseURL, location.href).pathname;
    if (!event.target.closest("[data-live]") || answered.endsWith("/live/")) return;
    event.detail.shouldSwap = false;
    location.reload();
  });
})();
