// Django's two boxes, of which one is filled from the other: their icons carry a name, so they must say that they are images.
"use strict";

window.addEventListener("load", () => {
  requestAnimationFrame(() => {  // Django makes the boxes when the page is loaded
    for (const icon of document.querySelectorAll(".selector .search-label-icon[aria-label]")) {
      icon.setAttribute("role", "img");
    }
  });
});
