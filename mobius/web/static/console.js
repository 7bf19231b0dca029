// Comfort only: every page works without this file.
(() => {
  "use strict";
  const root = document.documentElement;
  root.classList.add("js");

  const announce = (text) => {
    const place = document.getElementById("announcer");
    if (!place) return;
    place.textContent = "";
    // A moment later, so that saying the same thing twice is heard twice.
    setTimeout(() => (place.textContent = text), 50);
  };

  // --- copying -------------------------------------------------------------------------------------------------------

  const write = async (text) => {
    // Browsers offer the clipboard on https and localhost only.
    if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(text);
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "visually-hidden";
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    if (!done) throw new Error("copying is not allowed");
  };

  const copy = async (button) => {
    const code = button.closest("figure")?.querySelector("code");
    const text = button.hasAttribute("data-copy-code") ? code.textContent : button.dataset.copy;
    const label = button.querySelector("span");
    try {
      await write(text);
      announce("Copied");
      if (!label) return;
      label.textContent = "Copied";
      setTimeout(() => (label.textContent = "Copy"), 2000);
    } catch {
      announce("Copying did not work: select the text and copy it yourself");
    }
  };

  // --- fields --------------------------------------------------------------------------------------------------------

  const reveal = (button) => {
    const input = document.getElementById(button.dataset.reveal);
    const shown = input.type === "text";
    input.type = shown ? "password" : "text";
    button.setAttribute("aria-pressed", String(!shown));
  };

  // <input type="checkbox" data-fill="id of a field" data-fill-with="text" data-fill-then="id of the next field">
  const fill = (box) => {
    const field = document.getElementById(box.dataset.fill);
    if (box.checked && !field.value) field.value = box.dataset.fillWith;
    if (!box.checked && field.value === box.dataset.fillWith) field.value = "";
    if (box.checked) document.getElementById(box.dataset.fillThen)?.focus();
  };

  // <form data-curl>: a curl command pasted as the URL fills the fields. What is not plain is left to the server.
  const readCurl = (text) => {
    if (!/^\s*curl\s/.test(text) || /\$'|\^["\s]/.test(text)) return null;
    const words = [...text.matchAll(/'([^']*)'|"((?:[^"\\]|\\.)*)"|[^\s'"]+/g)].map(
      ([word, single, double]) => single ?? double?.replace(/\\(.)/g, "$1") ?? word,
    );
    const after = (pattern) => words.filter((_, place) => pattern.test(words[place - 1] ?? ""));
    const headers = after(/^(-H|--header=?)$/).filter((header) => !/^(content-type|accept|user-agent)\s*:/i.test(header));
    const data = new Set([...after(/^(-d|--data(-\w+)?=?|--json)$/), ...headers]);
    const addresses = words.filter((word) => /^https?:\/\//.test(word) && !data.has(word));
    if (addresses.length !== 1 || headers.length > 1) return null;
    const [, name = "", value = ""] = headers[0]?.match(/^([^:]+):\s*(.*)$/) ?? [];
    return { webhook_url: addresses[0], auth_header_name: name, auth_header_value: value };
  };

  const takeCurl = (event) => {
    const form = event.target.closest("form[data-curl]");
    if (event.target.name !== "webhook_url" || !form) return;
    const found = readCurl(event.clipboardData.getData("text"));
    if (!found) return;
    event.preventDefault();
    for (const [name, text] of Object.entries(found)) if (text) form.elements[name].value = text;
    const header = found.auth_header_name ? ` and the header ${found.auth_header_name}` : "";
    form.querySelector("[data-curl-said]").textContent = `Took the URL${header} from the curl command.`;
  };

  // <form data-once>: a second click must not send a second row; the button's data-busy says what is going on.
  const sendOnce = (event) => {
    const form = event.target;
    if (form.dataset.sent) return event.preventDefault();
    form.dataset.sent = "yes";
    const busy = event.submitter?.dataset.busy;
    if (!busy) return;
    form.dataset.label = event.submitter.textContent;
    event.submitter.textContent = busy;
    event.submitter.setAttribute("aria-busy", "true");
    announce(busy);
    const began = Date.now();
    const clock = setInterval(() => {
      if (!form.dataset.sent) return clearInterval(clock);
      event.submitter.textContent = `${busy} ${Math.round((Date.now() - began) / 1000)} s`;
    }, 1000);
  };

  // Coming back with the browser's own button: the form may be sent again.
  const rearm = () => {
    for (const form of document.querySelectorAll("form[data-sent]")) {
      delete form.dataset.sent;
      const button = form.querySelector("button[aria-busy]");
      if (!button) continue;
      button.textContent = form.dataset.label;
      button.removeAttribute("aria-busy");
    }
  };

  // --- times ---------------------------------------------------------------------------------------------------------

  const local = new Intl.DateTimeFormat(undefined, {
    day: "numeric", month: "short", year: "numeric",
    hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short",
  });

  const showTimes = (part) => {
    for (const time of part.querySelectorAll("time[data-time]")) {
      const utc = time.dataset.utc ?? time.title;
      const here = local.format(new Date(time.dateTime));
      time.dataset.utc = utc;
      if (time.dataset.time === "local") time.textContent = here;
      time.title = time.dataset.time === "local" ? utc : `${here} (${utc})`;
    }
  };

  // --- wiring --------------------------------------------------------------------------------------------------------

  const arrive = (part) => {
    showTimes(part);
    for (const field of part.querySelectorAll("details.fold [aria-invalid=true]")) field.closest("details").open = true;
    part.querySelector("[data-error-summary]")?.focus();
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button?.matches("[data-copy], [data-copy-code]")) copy(button);
    if (button?.dataset.reveal) reveal(button);
    for (const menu of document.querySelectorAll("details[data-menu][open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });

  document.addEventListener("change", (event) => {
    if (event.target.matches("input[data-fill]")) fill(event.target);
  });

  document.addEventListener("paste", takeCurl);
  document.addEventListener("submit", (event) => event.target.matches("form[data-once]") && sendOnce(event));
  addEventListener("pageshow", rearm);

  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    const menu = event.target.closest("details[data-menu][open]") ?? document.querySelector("details[data-menu][open]");
    if (!menu) return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });

  document.addEventListener("htmx:load", (event) => arrive(event.target));
  arrive(document);
})();
