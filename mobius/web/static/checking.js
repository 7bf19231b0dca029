// <form data-check>: a field that is left is checked by the server, which knows the rules and does nothing else.
// Nobody is corrected while typing: what is wrong is said when a field is left, and goes as soon as it is mended.
(() => {
  "use strict";
  const PAUSE = 400; // milliseconds without a key
  const announcer = document.getElementById("announcer");

  const say = (field, sentences) => {
    const box = field.closest(".field");
    const id = `${field.id}_error`;
    const described = (field.getAttribute("aria-describedby") ?? "").split(" ").filter((one) => one && one !== id);
    document.getElementById(id)?.remove();
    box.classList.toggle("field-invalid", sentences.length > 0);
    if (sentences.length) {
      const list = Object.assign(document.createElement("ul"), { className: "errorlist", id });
      list.append(...sentences.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
      (field.type === "checkbox" ? field.nextElementSibling : box).append(list);
      field.setAttribute("aria-invalid", "true");
      described.push(id);
    } else {
      field.removeAttribute("aria-invalid");
    }
    if (described.length) field.setAttribute("aria-describedby", described.join(" "));
    else field.removeAttribute("aria-describedby");
  };

  const said = (field) => document.getElementById(`${field.id}_error`)?.textContent ?? "";

  const watch = (form) => {
    const typed = new Set();
    const left = new Set([...form.elements].filter((field) => field.getAttribute("aria-invalid") === "true"));
    let asked = null;
    let pause = 0;

    const show = ({ errors, warnings }) => {
      for (const field of left) {
        const sentences = errors[field.name] ?? [];
        // Whoever is typing there is not told what is wrong, only that it is well.
        if (field === document.activeElement && sentences.length) continue;
        if (sentences.join("") === said(field)) continue;
        say(field, sentences);
        const label = form.querySelector(`label[for="${field.id}"]`)?.textContent ?? "";
        if (sentences.length) announcer.textContent = `${label}: ${sentences.join(" ")}`;
      }
      const warning = form.querySelector("[data-check-warnings]");
      if (!warning) return;
      warning.textContent = warnings.join(" ");
      warning.parentElement.hidden = warnings.length === 0;
    };

    const ask = async () => {
      clearTimeout(pause);
      asked?.abort();
      asked = new AbortController();
      try {
        const answer = await fetch(form.action, {
          method: "POST",
          headers: { "X-Only-Check": "1" },
          body: new URLSearchParams(new FormData(form)),
          signal: asked.signal,
        });
        if (answer.headers.get("Content-Type") === "application/json" && !form.dataset.sent) show(await answer.json());
      } catch {
        // It is said again, and surely, when the form is sent.
      }
    };

    form.addEventListener("focusout", (event) => {
      const { target, relatedTarget } = event;
      // Empty and never written in: somebody only passes by.
      if (!target.name || (target.required && !target.value && !typed.has(target))) return;
      left.add(target);
      // A sentence that appears would move a button away from under the pointer.
      if (!relatedTarget?.closest("button, a")) ask();
    });

    form.addEventListener("input", ({ target }) => {
      typed.add(target);
      clearTimeout(pause);
      if ([...left].some(said)) pause = setTimeout(ask, PAUSE);
    });

    form.addEventListener("submit", () => {
      clearTimeout(pause);
      asked?.abort();
    });
  };

  for (const form of document.querySelectorAll("form[data-check]")) watch(form);
})();
