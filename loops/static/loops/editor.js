// The editor's live preview: when its answer is not a preview, what was typed stays where it is.
document.addEventListener("htmx:beforeOnLoad", (event) => {
  "use strict";
  // Signed out meanwhile: the server would have the page loaded anew.
  if (event.detail.xhr.status === 204) event.preventDefault();
});
