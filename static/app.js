"use strict";
// What HTML and htmx do not do by themselves: the dialog, toasts, copying, and the visitor's zone.
(() => {
  const LOST = "Not saved: the server did not respond";
  const NOT_LOADED = "The page could not be loaded.";
  const dialog = document.getElementById("dialog");
  const signIn = document.getElementById("sign-in");
  const toasts = document.getElementById("toasts");
  let opener = ""; // id of what opened the dialog
  let place = null; // of what was pressed in a list: the number of its row, and what it says
  let sent = false; // whether the form that was sent last had something typed in it
  let pressed = ""; // name of what was pressed last
  let pressedId = ""; // and its id, where its name changes with what it does

  // What lies behind an open dialog is inert and not read aloud.
  function front() {
    return [signIn, dialog].find((one) => one?.open) || document.body;
  }

  function toast(text, tone, again) {
    const line = document.createElement("p");
    line.className = tone === "bad" ? "toast bad" : "toast";
    line.textContent = text;
    if (again) line.append(" ", again);
    front().append(toasts);
    toasts.replaceChildren(line);
    if (!again) fade(line); // what has to be pressed stays until it is, or until another click works
  }

  function linkButton(text, act) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "link";
    button.textContent = text;
    button.addEventListener("click", act);
    return button;
  }

  function fade(line) {
    setTimeout(() => line.remove(), line.classList.contains("bad") ? 12000 : 6000);
  }

  // What takes longer than a second counts its seconds, and can be given up. Polls have an hx-trigger.

  const waits = new Map(); // of each request that a person waits for, its timer and line

  function waitFor(ctx) {
    if (ctx.sourceElement.matches("[hx-trigger]")) return;
    const began = Date.now();
    const line = document.createElement("p");
    const seconds = document.createElement("span");
    line.className = "toast";
    seconds.setAttribute("aria-hidden", "true"); // a voice need not count along
    const cancel = linkButton("Cancel", () => {
      ctx.sourceElement.dispatchEvent(new CustomEvent("htmx:abort"));
      toast(ctx.request.method === "GET" ? "Canceled." : "Canceled. The server may still have done it.");
      remember(ctx);
    });
    line.append("Waiting for a response … ", seconds, " ", cancel);
    const timer = setInterval(() => {
      seconds.textContent = `${Math.round((Date.now() - began) / 1000)} s`;
      if (line.isConnected) return;
      front().append(toasts);
      toasts.append(line); // beside what else is waited for
    }, 1000);
    waits.set(ctx, { timer, line });
  }

  function waitedFor(ctx) {
    const { timer, line } = waits.get(ctx) || {};
    clearInterval(timer);
    line?.remove();
    waits.delete(ctx);
  }

  document.addEventListener("htmx:finally:request", (event) => waitedFor(event.detail.ctx));

  function focusOn(id) {
    const element = id && document.getElementById(id);
    if (element) element.focus();
    return Boolean(element);
  }

  // Where a row has left its list, the one that took its place is next.
  function placeOf(element) {
    const button = element.matches("form") ? element.querySelector("button[type=submit]") : element;
    const row = element.closest("main .row");
    return row && { number: [...document.querySelectorAll("main .row")].indexOf(row), text: button?.textContent.trim() };
  }

  function focusPlace() {
    const rows = [...document.querySelectorAll("main .row")];
    const row = place && rows[Math.min(place.number, rows.length - 1)];
    if (!row) return document.getElementById("content").focus({ preventScroll: true });
    const controls = [...row.querySelectorAll("a, button")];
    (controls.find((one) => one.textContent.trim() === place.text) || controls[0])?.focus();
  }

  function focusFirst() {
    const wanted = [...document.querySelectorAll("[data-wants-focus]")];
    const first = wanted.find((one) => one.matches('[aria-invalid="true"]')) || wanted[0];
    if (first) first.focus();
    for (const one of wanted) one.removeAttribute("data-wants-focus");
  }

  function ready(root) {
    for (const button of root.querySelectorAll("[data-copy][hidden], [data-copy-from][hidden]")) button.hidden = false;
    for (const box of root.querySelectorAll(".zone-search")) {
      box.firstElementChild.hidden = !box.querySelector("[data-finds-zone]").hidden;
    }
  }

  // What was typed into forms that were not sent yet. A form that is gone takes it along.

  const typed = new Set();

  function hasTyped(root) {
    for (const form of typed) if (!form.isConnected) typed.delete(form);
    return [...typed].some((form) => root.contains(form));
  }

  if (document.body.matches(".host")) {
    document.addEventListener("input", ({ target }) => {
      const form = target.form;
      if (form && form.method === "post" && target.name && target.type !== "password") typed.add(form);
    });
    window.addEventListener("beforeunload", (event) => {
      if (hasTyped(document)) event.preventDefault();
    });
  }

  // What was typed into a box, but no secret, is kept in this tab until it is saved or discarded: it comes back when
  // the page was left or the browser closed the box.

  const draftOf = (form) => `draft ${signIn?.dataset.username} ${form.getAttribute("action")}`;
  const stateOf = (one) => (one.matches("[type=checkbox], [type=radio]") ? "checked" : "value");

  function keptFields(form) {
    const plain = "textarea, select, input:not([type=hidden], [type=password])";
    return [...form.elements].filter((one) => one.matches(plain) && one.name && !/secret|password|header/.test(one.name));
  }

  function drop(form) {
    if (form) sessionStorage.removeItem(draftOf(form));
  }

  function restore(form) {
    const draft = JSON.parse((form && sessionStorage.getItem(draftOf(form))) || "null");
    const fields = form ? keptFields(form) : [];
    if (!draft || draft.length !== fields.length || fields.some((one, at) => one.name !== draft[at][0])) return;
    fields.forEach((one, at) => {
      one[stateOf(one)] = draft[at][1];
    });
    typed.add(form);
    const discard = linkButton("Discard", () => {
      discard.parentElement.remove();
      drop(form);
      typed.delete(form);
      form.reset();
    });
    toast("What you typed before is back.", "", discard);
  }

  dialog?.addEventListener("input", ({ target: { form } }) => {
    if (form?.method !== "post") return;
    const fields = keptFields(form).map((one) => [one.name, one[stateOf(one)]]);
    sessionStorage.setItem(draftOf(form), JSON.stringify(fields));
  });

  document.addEventListener("htmx:finally:request", ({ detail: { ctx } }) => {
    const taken = ctx.response?.status < 400 && (ctx.hx.redirect || !dialog?.open);
    if (taken && ctx.request.method !== "GET" && ctx.sourceElement.matches("form")) drop(ctx.sourceElement);
  });

  // The dialog

  function close() {
    if (dialog && dialog.open) dialog.close();
  }

  if (dialog) {
    // Esc. The second in a row closes in any case: the browser sees to that.
    dialog.addEventListener("cancel", (event) => {
      if (hasTyped(dialog) && !window.confirm("Discard what you have typed?")) event.preventDefault();
      else drop(dialog.querySelector("form"));
    });
    dialog.addEventListener("close", () => {
      document.body.append(toasts);
      dialog.replaceChildren();
      focusOn(opener);
    });
  }

  document.addEventListener("htmx:before:request", (event) => {
    const { ctx } = event.detail;
    waitFor(ctx);
    if (!dialog?.open && !ctx.sourceElement.matches("[hx-trigger]")) {
      opener = dialog && ctx.target === dialog ? ctx.sourceElement.id : "";
      place = placeOf(ctx.sourceElement);
    }
    if (ctx.request.method !== "GET") {
      sent = typed.has(ctx.sourceElement);
      typed.delete(ctx.sourceElement);
    }
    const active = document.activeElement;
    pressedId = ctx.request.submitter?.id || (ctx.sourceElement.matches("button") ? ctx.sourceElement.id : "");
    if (ctx.request.submitter?.name === "tz") pressedId = "tz";
    dayPressed = ctx.request.submitter?.name === "date" && Boolean(ctx.request.submitter.closest(".month"));
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

  // Where the times are below the month, they come into view once a day is chosen.
  const narrow = window.matchMedia("(max-width: 899px)");
  let dayPressed = false;

  // What is swapped is not read aloud by itself; this region stays, and gets the name of a month that is new.
  const said = document.getElementById("said");
  let month = monthShown();

  function monthShown() {
    return document.querySelector(".month caption")?.textContent || "";
  }

  function sayMonth() {
    if (said && monthShown() && monthShown() !== month) said.textContent = monthShown();
    month = monthShown() || month;
  }

  document.addEventListener("htmx:after:swap", (event) => {
    const { ctx } = event.detail;
    if (ctx.swap === "none") return;
    let opened = null;
    for (const one of [dialog, signIn]) {
      if (!one || one.open || ctx.target !== one || !one.firstElementChild) continue;
      one.showModal();
      opened = one;
    }
    for (const line of toasts.querySelectorAll(".toast:has(button)")) line.remove();
    if (sent && [409, 422, 429].includes(ctx.response.status)) remember(ctx);
    ready(document);
    if (opened && opened === dialog) restore(dialog.querySelector("form"));
    fillZones();
    sayMonth();
    if (dayPressed && narrow.matches) document.getElementById("times")?.scrollIntoView({ block: "start" });
    focusFirst();
    if (document.activeElement === document.body) focusSame();
  });

  // A swapped link or button without an id keeps the focus by its name: the calendar works by keyboard.
  function focusSame() {
    // What was moved to an end of its list has no button for this direction any more.
    const opposite = pressedId.replace(/^(raise|lower)(?=-)/, (word) => (word === "raise" ? "lower" : "raise"));
    if (focusOn(pressedId) || focusOn(opposite)) return;
    if (pressedId && place) return focusPlace();
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
    if (!event.detail?.id || focusOn(opener)) return;
    if (event.detail.id !== "content") focusOn(event.detail.id);
    else if (document.activeElement === document.body || dialog.contains(document.activeElement)) focusPlace();
  });

  // Nothing fails in silence

  document.addEventListener("htmx:response:error", (event) => {
    const { ctx } = event.detail;
    const told = ctx.hx.redirect || /"(toast|sign-in)"/.test(ctx.hx.trigger || "");
    const swapped = ctx.hx.reswap !== "none" && [409, 422, 429].includes(ctx.response.status);
    if (!told && !swapped) lost(ctx);
    if (!swapped) remember(ctx);
    if (!ctx.sourceElement.matches("[hx-trigger]") && !signIn?.open) refused = ctx;
  });
  document.addEventListener("htmx:error", (event) => {
    lost(event.detail.ctx);
    remember(event.detail.ctx);
  });

  function lost(ctx) {
    if (ctx?.request?.method !== "GET") return toast(LOST, "bad");
    const again = linkButton("Try again", () => {
      again.parentElement.remove();
      repeat(ctx.sourceElement, ctx.request.submitter);
    });
    toast(NOT_LOADED, "bad", again);
  }

  function repeat(element, submitter) {
    if (!element.isConnected) location.reload();
    else if (element.matches("form")) element.requestSubmit(submitter?.isConnected ? submitter : null);
    else if (element.matches("a, button")) element.click();
    else if (element === signIn) signIn.dispatchEvent(new Event("signed-out"));
    else location.reload();
  }

  // A form that came back, or was not taken, still has what was typed.
  function remember(ctx) {
    if (!sent || !ctx) return;
    const form = ctx.sourceElement.isConnected ? ctx.sourceElement : dialog?.querySelector("form");
    if (form) typed.add(form);
  }

  // Who was signed out meanwhile signs in over the page, and what was refused is sent again, once.

  let refused = null; // the request that failed last
  let repeated = false; // whether it was sent again after a sign-in
  let declined = false; // whether the sign-in was closed, which polls do not open again

  document.addEventListener("sign-in", ({ target, detail }) => {
    if (!signIn || repeated) toast(detail.text, "bad");
    else if (!signIn.open && !(declined && target.matches("[hx-trigger]"))) signIn.dispatchEvent(new Event("signed-out"));
    repeated = false;
  });

  document.addEventListener("signed-in", ({ detail }) => {
    const again = refused;
    refused = null;
    declined = false;
    signIn.close();
    if (detail.username !== signIn.dataset.username) {
      return toast(`You are signed in as ${detail.username} in this browser. Reload the page to continue.`, "bad");
    }
    document.body.setAttribute("hx-headers:inherited", JSON.stringify({ "X-CSRFToken": detail.csrf }));
    for (const field of document.querySelectorAll("[name=csrf_token]")) field.value = detail.csrf;
    if (!again) return;
    repeated = true;
    repeat(again.sourceElement, again.request.submitter);
  });

  document.addEventListener("htmx:finally:request", ({ detail: { ctx } }) => {
    if (ctx.response?.status < 400 && ctx.target !== signIn && !signIn?.contains(ctx.sourceElement)) repeated = false;
  });

  signIn?.addEventListener("close", () => {
    front().append(toasts);
    signIn.replaceChildren();
    if (!refused) return;
    declined = true;
    toast(refused.request.method === "GET" ? "You are signed out." : "Not saved: you are signed out.", "bad");
    refused = null;
  });

  // A plain form is sent once

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.matches("[hx-post], [hx-get]") || form.method !== "post") return;
    if (form.matches("[action$='/logout']")) sessionStorage.clear(); // the drafts
    if (form.classList.contains("sending")) event.preventDefault();
    form.classList.add("sending");
    typed.delete(form);
  });
  window.addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form.sending")) form.classList.remove("sending");
  });

  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-submit]")) event.target.form.requestSubmit();
  });

  document.addEventListener("click", (event) => {
    const closer = event.target.closest("[data-close]");
    if (closer?.closest("dialog[open]")) {
      event.preventDefault();
      if (closer.closest("#dialog")) drop(closer.closest("form"));
      closer.closest("dialog").close();
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
    if (!zone || address.searchParams.has("tz") || zone === document.body.dataset.wantsZone) return;
    address.searchParams.set("tz", zone);
    document.documentElement.dataset.leaving = "";
    location.replace(address);
  }

  // A page has only the zone that it shows; the list of all is loaded once, and filled into each that comes.

  let zones = null;
  let cities = null;

  const load = async (address) => (await fetch(address)).json();

  function loadZones(address) {
    zones ??= load(address);
    zones.catch(() => {
      zones = null; // tried again with the next click
    });
    return zones;
  }

  function fillZones() {
    const choice = document.querySelector("select[data-zones]");
    if (!choice || "leaving" in document.documentElement.dataset) return;
    loadZones(choice.dataset.zones).then(listZones, () => {});
  }

  function listZones(all) {
    const choice = document.querySelector("select[data-zones]");
    if (!choice || choice.options.length > 1) return;
    const [shown] = choice.options;
    choice.replaceChildren(...all.map(([name, text]) => (name === shown.value ? shown : new Option(text, name))));
    if (!shown.isConnected) choice.prepend(shown);
    choice.value = shown.value;
  }

  // A zone is found by its name, an old name or a city. Each find is a button: in a booking page of the form that is
  // sent with each click, elsewhere one that chooses the zone in the list.

  const LETTERS = { ß: "ss", ø: "o", ł: "l", đ: "d", æ: "ae", œ: "oe", ı: "i" };

  function plainly(text) {
    const plain = text.toLowerCase().normalize("NFKD").replace(/\p{M}/gu, "").replace(/[_/-]/g, " ");
    return plain.replace(/[ßøłđæœı]/g, (letter) => LETTERS[letter]);
  }

  async function loadCities(address) {
    const { zones: names, cities: rows } = await load(address);
    return rows.map(([city, number]) => ({ city, plain: plainly(city), zone: names[number] }));
  }

  async function search(box, words) {
    cities ??= loadCities(box.dataset.cities);
    cities.catch(() => {
      cities = null;
    });
    const [all, places] = await Promise.all([loadZones(box.dataset.list), cities]);
    const wanted = words.split(/\s+/);
    const fits = (text) => wanted.every((word) => ` ${text}`.includes(` ${word}`));
    const found = new Map(); // text by zone: a zone's own name goes before its cities
    for (const [name, text, old] of all.filter((zone) => fits(plainly(zone.join(" ")))).slice(0, 5)) {
      const was = old.split(" ").find((one) => plainly(one).includes(wanted[0]) && !plainly(name).includes(wanted[0]));
      found.set(name, was ? `${text}, before: ${was.replaceAll("_", " ")}` : text);
    }
    const texts = new Map(all);
    const near = places.filter(({ plain }) => fits(plain));
    near.sort((one, other) => other.plain.startsWith(words) - one.plain.startsWith(words)); // else the largest first
    for (const { city, zone } of near) {
      if (found.size < 8 && texts.has(zone) && !found.has(zone)) found.set(zone, `${city}: ${texts.get(zone)}`);
    }
    return found;
  }

  const searched = (input) => plainly(input.value).trim();

  async function findZones(input) {
    const box = input.closest(".zone-search");
    const choice = document.getElementById(box.dataset.for);
    const words = searched(input);
    const lines = [];
    let problem = "";
    try {
      const found = words ? await search(box, words) : new Map();
      if (searched(input) !== words) return; // more was typed meanwhile
      for (const [zone, text] of found) {
        const button = document.createElement("button");
        button.type = choice.matches("[data-submit]") ? "submit" : "button";
        button.name = "tz";
        button.value = zone;
        button.textContent = text.replace("UTC-", "UTC\u2212"); // after a minus, unlike a hyphen, no line ends
        lines.push(document.createElement("li"));
        lines.at(-1).append(button);
      }
      if (words && !found.size) problem = "No time zone has this name. Try a larger city nearby.";
    } catch {
      problem = "The list of cities could not be loaded. Please try again.";
    }
    if (problem) {
      lines.push(document.createElement("li"));
      lines[0].className = "low";
      lines[0].textContent = problem;
    }
    box.querySelector(".found").replaceChildren(...lines);
  }

  function openSearch(box, open) {
    const [button, input] = [box.querySelector("[data-opens-search]"), box.querySelector("[data-finds-zone]")];
    [button.hidden, input.hidden] = [open, !open];
    input.value = "";
    box.querySelector(".found").replaceChildren();
    if (open) input.focus();
  }

  document.addEventListener("click", ({ target }) => {
    const box = target.closest(".zone-search");
    if (target.closest("[data-opens-search]")) openSearch(box, true);
    if (!box || !target.matches(".found button[type=button]")) return;
    const choice = document.getElementById(box.dataset.for);
    choice.value = target.value;
    choice.dispatchEvent(new Event("input", { bubbles: true }));
    openSearch(box, false);
    choice.focus();
  });

  document.addEventListener("input", ({ target }) => {
    if (target.matches("[data-finds-zone]")) findZones(target);
  });
  document.addEventListener("keydown", (event) => {
    const { target, key } = event;
    if (!target.matches("[data-finds-zone]") || !["Enter", "Escape"].includes(key)) return;
    event.preventDefault(); // Enter would press the first button of the form
    const box = target.closest(".zone-search");
    if (key === "Enter") return findZones(target).then(() => box.querySelector(".found button")?.click());
    openSearch(box, false);
    box.querySelector("[data-opens-search]").focus();
  });

  document.addEventListener("focusin", (event) => {
    if (event.target.matches("select[data-zones]")) fillZones();
  });

  // The zone of the browser, of which it may know an old name.
  async function chooseOwn(choice) {
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    const has = (name) => [...choice.options].some((option) => option.value === name);
    if (has(zone)) {
      choice.value = zone;
      return;
    }
    const box = document.querySelector(`.zone-search[data-for="${choice.id}"]`);
    const rows = await loadZones(box.dataset.list).catch(() => []);
    const row = rows.find(([, , old]) => old.split(" ").includes(zone));
    if (row && has(row[0])) choice.value = row[0];
  }

  if (document.body.matches("[data-wants-zone]")) addZone();
  fillZones();
  for (const choice of document.querySelectorAll("select[data-own-zone]")) chooseOwn(choice);

  ready(document);
  for (const line of toasts ? toasts.children : []) fade(line);
})();
