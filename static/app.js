"use strict";
// What HTML and htmx do not do by themselves: the dialog, toasts, copying, and the visitor's zone.
(() => {
  const LOST = "Not saved: the server did not respond";
  const dialog = document.getElementById("dialog");
  const toasts = document.getElementById("toasts");
  let opener = ""; // id of what opened the dialog
  let pressed = ""; // name of what was pressed last

  function toast(text, tone) {
    const line = document.createElement("p");
    line.className = tone === "bad" ? "toast bad" : "toast";
    line.textContent = text;
    // What lies behind an open dialog is inert and not read aloud.
    (dialog && dialog.open ? dialog : document.body).append(toasts);
    toasts.replaceChildren(line);
    fade(line);
  }

  function fade(line) {
    setTimeout(() => line.remove(), line.classList.contains("bad") ? 12000 : 6000);
  }

  function focusOn(id) {
    const element = id && document.getElementById(id);
    if (element) element.focus();
    return Boolean(element);
  }

  function focusFirst() {
    const wanted = [...document.querySelectorAll("[data-wants-focus]")];
    const first = wanted.find((one) => one.matches('[aria-invalid="true"]')) || wanted[0];
    if (first) first.focus();
    for (const one of wanted) one.removeAttribute("data-wants-focus");
  }

  function ready(root) {
    for (const button of root.querySelectorAll("[data-copy][hidden], [data-copy-from][hidden]")) button.hidden = false;
  }

  // The dialog

  function close() {
    if (dialog && dialog.open) dialog.close();
  }

  if (dialog) {
    dialog.addEventListener("close", () => {
      document.body.append(toasts);
      dialog.replaceChildren();
      focusOn(opener);
    });
  }

  document.addEventListener("htmx:before:request", (event) => {
    const { ctx } = event.detail;
    if (ctx.target === dialog && dialog && !dialog.open) opener = ctx.sourceElement.id;
    const active = document.activeElement;
    pressed = ctx.sourceElement.contains(active) || active.form === ctx.sourceElement ? nameOf(active) : "";
  });

  // htmx puts what a button says behind a form's hidden fields; here, as without a script, it takes their place.
  document.addEventListener("htmx:config:request", (event) => {
    const { body, method, submitter } = event.detail.ctx.request;
    if (method === "GET" && submitter && submitter.name) body.set(submitter.name, submitter.value);
    if (method === "GET" && submitter && submitter.name === "month") body.delete("date");
  });

  // A browser takes autofocus only once in a page's life, and complains of the next; so it is done here.
  document.addEventListener("htmx:before:swap", (event) => {
    for (const { fragment } of event.detail.tasks) {
      for (const one of fragment.querySelectorAll("[autofocus]")) {
        one.removeAttribute("autofocus");
        one.setAttribute("data-wants-focus", "");
      }
    }
  });

  document.addEventListener("htmx:after:swap", (event) => {
    const { ctx } = event.detail;
    if (ctx.swap === "none") return;
    if (dialog && !dialog.open && ctx.target === dialog && dialog.firstElementChild) dialog.showModal();
    ready(document);
    focusFirst();
    if (document.activeElement === document.body) focusSame();
  });

  // A swapped link or button without an id keeps the focus by its name: the calendar works by keyboard.
  function focusSame() {
    const root = dialog && dialog.open ? dialog : document;
    const same = [...root.querySelectorAll("a, button, select")].find((one) => nameOf(one) === pressed);
    if (pressed && same) same.focus({ preventScroll: true });
  }

  function nameOf(element) {
    return element.getAttribute("aria-label") || element.textContent.trim();
  }

  // What the server says beside its answer (HX-Trigger)

  document.addEventListener("close-dialog", close);
  document.addEventListener("toast", (event) => toast(event.detail.text, event.detail.tone));
  document.addEventListener("focus", (event) => {
    if (event.detail && event.detail.id) focusOn(opener) || focusOn(event.detail.id);
  });

  // Nothing fails in silence

  document.addEventListener("htmx:response:error", (event) => {
    const { ctx } = event.detail;
    const told = ctx.hx.redirect || (ctx.hx.trigger || "").includes('"toast"');
    const swapped = ctx.hx.reswap !== "none" && [409, 422].includes(ctx.response.status);
    if (!told && !swapped) toast(LOST, "bad");
  });
  document.addEventListener("htmx:error", () => toast(LOST, "bad"));

  // A plain form is sent once

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.matches("[hx-post], [hx-get]") || form.method !== "post") return;
    if (form.classList.contains("sending")) event.preventDefault();
    form.classList.add("sending");
  });
  window.addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form.sending")) form.classList.remove("sending");
  });

  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-submit]")) event.target.form.requestSubmit();
  });

  document.addEventListener("click", (event) => {
    const closer = event.target.closest("[data-close]");
    if (closer && dialog && dialog.open && dialog.contains(closer)) {
      event.preventDefault();
      close();
    }
    const inserter = event.target.closest("[data-insert]");
    if (inserter) insert(document.getElementById(inserter.dataset.into), inserter.dataset.insert);
    const copier = event.target.closest("[data-copy], [data-copy-from]");
    if (copier) copy(copier.dataset.copy ?? document.getElementById(copier.dataset.copyFrom).value);
  });

  // An address follows its title while nobody has typed it; the server makes the same of an empty one.

  function slugOf(title) {
    const plain = title.toLowerCase().replaceAll("ß", "ss").normalize("NFKD").replace(/\p{M}/gu, "");
    return plain.replace(/[^a-z0-9]+/g, "-").slice(0, 60).replace(/^-+|-+$/g, "");
  }

  document.addEventListener("input", (event) => {
    if (event.target.matches("[data-follows]")) event.target.dataset.typed = "";
    for (const slug of document.querySelectorAll("[data-follows]")) {
      if (slug.dataset.follows !== event.target.id || "typed" in slug.dataset) continue;
      if (slug.value === (slug.dataset.made ?? "")) slug.value = slug.dataset.made = slugOf(event.target.value);
    }
  });

  function insert(area, text) {
    area.focus();
    area.setRangeText(text, area.selectionStart, area.selectionEnd, "end");
    area.dispatchEvent(new Event("input", { bubbles: true }));
  }

  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text);
      toast("Copied.");
    } catch {
      toast("Copying was blocked by the browser. Please select the text and copy it yourself.", "bad");
    }
  }

  // The visitor's zone: once, before anything is typed; tz in the address always wins, so it cannot loop.

  function addZone() {
    const address = new URL(location.href);
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    if (!zone || address.searchParams.has("tz")) return;
    address.searchParams.set("tz", zone);
    document.documentElement.dataset.leaving = "";
    location.replace(address);
  }

  if (document.body.matches("[data-wants-zone]")) addZone();
  for (const choice of document.querySelectorAll("select[data-own-zone]")) {
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    if ([...choice.options].some((option) => option.value === zone)) choice.value = zone;
  }

  ready(document);
  for (const line of toasts ? toasts.children : []) fade(line);
})();
