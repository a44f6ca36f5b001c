"use strict";
// Calapp's embed: see docs/embed.md
(() => {
  if (window.Cal?.calapp) return; // loaded twice
  const home = new URL(document.currentScript?.src || location.href).origin;
  const SLOW = 20000; // ms until a frame that has said nothing counts as failed
  const QUIET = 4000; // ms for the same after its document was loaded
  const WORDS = "This booking page could not be loaded.";
  const spaces = new Map(); // by namespace
  const frames = new Set();
  const STYLE = `
    :host { all: initial; display: block; font: 500 14px/20px system-ui, sans-serif; }
    dialog { box-sizing: border-box; width: min(1120px, 100vw); max-width: 100vw; max-height: 100dvh; border: 0;
      padding: 48px 12px 12px; background: none; overflow: auto; }
    dialog::backdrop { background: rgb(0 0 0 / 60%); }
    button { font: inherit; cursor: pointer; border: 0; }
    .close { position: fixed; top: 8px; right: 8px; width: 36px; height: 36px; border-radius: 50%; font-size: 20px;
      color: #111827; background: #fff; }
    .floating { position: fixed; z-index: 2147483000; bottom: 16px; max-width: calc(100vw - 32px); padding: 14px 20px;
      border-radius: 24px; }
    iframe { display: block; width: 100%; border: 0; color-scheme: light; }
    .note { padding: 24px; text-align: center; color: #111827; background: #fff; border-radius: 8px; }
    .note a { color: inherit; }
    [hidden] { display: none; }`;

  function space(name) {
    if (!spaces.has(name)) spaces.set(name, { name, origin: home, listeners: [], looks: {}, modals: new Map() });
    return spaces.get(name);
  }

  function make(tag, properties = {}, ...children) {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  }

  const sheet = new CSSStyleSheet();
  sheet.replaceSync(STYLE);

  // The page's styles end here, and ours do not reach the page.
  function shadow(host, ...children) {
    const root = host.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [sheet];
    root.append(...children);
  }

  function addressOf({ name, origin }, link, config, kind) {
    const address = new URL(`${new URL(origin).origin}/${link.replace(/^\/+/, "")}`);
    address.pathname = `${address.pathname.replace(/\/+$/, "")}/embed`;
    const query = address.searchParams;
    if (Cal.config?.forwardQueryParams) {
      for (const [key, value] of new URLSearchParams(location.search)) query.append(key, value);
    }
    for (const [key, value] of Object.entries(config || {})) {
      if (key === "iframeAttrs" || value === null || value === undefined) continue;
      query.delete(key);
      [value].flat().forEach((one) => query.append(key, one));
    }
    query.set("embed", name);
    query.set("embedType", kind);
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    if (zone && !query.has("tz")) query.set("tz", zone);
    return address;
  }

  function frameFor(owner, address, kind, config) {
    const note = make("div", { className: "note", role: "status", textContent: "Loading…" });
    const iframe = make("iframe", { title: "Book a meeting", name: `cal-embed=${owner.name}` });
    if (config?.iframeAttrs?.id) iframe.id = config.iframeAttrs.id;
    iframe.style.visibility = "hidden";
    iframe.style.height = "0";
    const one = { owner, iframe, note, kind, address, ready: false, booked: false, timer: 0 };
    one.timer = setTimeout(fail, SLOW, one);
    iframe.addEventListener("load", () => {
      clearTimeout(one.timer);
      if (!one.ready) one.timer = setTimeout(fail, QUIET, one);
    });
    iframe.src = address.href;
    frames.add(one);
    return one;
  }

  function fail(one) {
    if (one.ready || !one.iframe.isConnected) return;
    const href = one.address.href.replace("/embed?", "?");
    const link = make("a", { href, target: "_blank", rel: "noopener", textContent: "Open it in a new tab" });
    one.note.setAttribute("role", "alert");
    one.note.replaceChildren(`${WORDS} `, link);
    emit(one.owner, "linkFailed", { code: "unreachable", msg: WORDS, data: { url: one.address.href } });
  }

  function say(one, method, arg) {
    one.iframe.contentWindow?.postMessage({ originator: "CAL", method, arg }, one.address.origin);
  }

  function emit(owner, type, data) {
    const detail = { type, namespace: owner.name, fullType: `CAL:${owner.name}:${type}`, data };
    for (const { action, callback } of [...owner.listeners]) {
      if (action === type || action === "*") guarded(() => callback(new CustomEvent(type, { detail })));
    }
  }

  function guarded(act) {
    try {
      return act();
    } catch (error) {
      return console.error("Cal:", error);
    }
  }

  const reactions = {
    __iframeReady(one) {
      one.ready = true;
      one.note.hidden = true;
      one.iframe.style.visibility = "";
      say(one, "parentKnowsIframeReady");
      say(one, "ui", one.owner.looks);
    },
    __dimensionChanged(one, { iframeHeight }) {
      if (iframeHeight > 0) one.iframe.style.height = `${iframeHeight}px`;
    },
    __routeChanged({ iframe, kind }) {
      if (kind === "inline" && iframe.getBoundingClientRect().top < 0) iframe.scrollIntoView({ block: "start" });
    },
    __closeIframe: (one) => one.dialog?.close(),
    linkReady: (one) => one.dialog?.open && one.iframe.focus(),
    bookingSuccessfulV2: (one) => (one.booked = true),
    // The frame goes there itself where the browser lets it.
    __redirect(one, { url }) {
      if (!/^https?:\/\//i.test(url)) return;
      const timer = setTimeout(() => location.assign(url), 1000);
      addEventListener("beforeunload", () => clearTimeout(timer));
    },
  };

  addEventListener("message", (event) => {
    const { originator, type, data = {} } = event.data || {};
    if (originator !== "CAL") return;
    for (const one of frames) {
      if (!one.iframe.isConnected) frames.delete(one);
      else if (one.iframe.contentWindow === event.source && one.address.origin === event.origin) {
        if (Object.hasOwn(reactions, type)) reactions[type](one, data);
        emit(one.owner, type, data);
      }
    }
  });

  // The pop-up: a dialog, so that Esc, the focus trap and what is inert are the browser's

  function modal(owner, { calLink, config, calOrigin }, opener) {
    const origin = calOrigin || owner.origin;
    const address = addressOf({ name: owner.name, origin }, calLink, config, "modal");
    let one = owner.modals.get(address.href);
    if (!one || one.booked || !one.iframe.isConnected) {
      one?.host.remove();
      one = build(owner, address, config);
    }
    open(one, opener);
  }

  function build(owner, address, config) {
    const host = document.body.appendChild(make("div"));
    const close = make("button", { className: "close", textContent: "×", ariaLabel: "Close" });
    const one = frameFor(owner, address, "modal", config);
    one.host = host;
    one.dialog = make("dialog", { ariaLabel: "Book a meeting" }, close, one.note, one.iframe);
    shadow(host, one.dialog);
    one.dialog.onclick = ({ target }) => [close, one.dialog].includes(target) && one.dialog.close();
    owner.modals.set(address.href, one);
    return one;
  }

  function open(one, opener) {
    if (one.dialog.open) return;
    const { style } = document.documentElement;
    const { overflow } = style;
    const before = opener || document.activeElement;
    one.dialog.onclose = () => {
      style.overflow = overflow;
      before?.focus();
    };
    one.dialog.showModal();
    style.overflow = "hidden";
    if (one.ready) one.iframe.focus();
  }

  document.addEventListener("click", (event) => {
    const element = event.composedPath().find((one) => one instanceof Element && one.hasAttribute("data-cal-link"));
    if (!element || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const { calLink, calNamespace = "", calConfig, calOrigin } = element.dataset;
    const config = (calConfig && guarded(() => JSON.parse(calConfig))) || {};
    guarded(() => modal(space(calNamespace), { calLink, config, calOrigin }, element));
  });

  // Calls

  const calls = {
    init(owner, first, second) {
      const named = typeof first === "string";
      const { origin, calOrigin } = (named ? second : first) || {};
      const target = named ? enter(first) : owner;
      if (origin || calOrigin) target.origin = new URL(origin || calOrigin).origin;
    },
    initNamespace: (_owner, name) => enter(name),
    inline(owner, { calLink, elementOrSelector, config, calOrigin }) {
      const place =
        typeof elementOrSelector === "string" ? document.querySelector(elementOrSelector) : elementOrSelector;
      if (!place) throw new Error(`There is no element ${elementOrSelector}`);
      const address = addressOf({ name: owner.name, origin: calOrigin || owner.origin }, calLink, config, "inline");
      const there = [...frames].find((one) => one.place === place && one.iframe.isConnected);
      if (there?.address.href === address.href) return;
      there?.host.remove();
      const one = frameFor(owner, address, "inline", config);
      one.place = place;
      one.host = place.appendChild(make("div"));
      shadow(one.host, one.note, one.iframe);
    },
    modal: (owner, wanted) => modal(owner, wanted),
    floatingButton(owner, wanted) {
      const { buttonText = "Book a meeting", buttonPosition, buttonColor, buttonTextColor, attributes } = wanted;
      const host = document.body.appendChild(make("div"));
      if (attributes?.id) host.id = attributes.id;
      const button = make("button", { className: "floating", textContent: buttonText, ariaHasPopup: "dialog" });
      button.style[buttonPosition === "bottom-left" ? "left" : "right"] = "16px";
      button.style.background = buttonColor || "#111827";
      button.style.color = buttonTextColor || "#fff";
      button.onclick = () => guarded(() => modal(owner, wanted, button));
      shadow(host, button);
    },
    preload(owner, { calLink, type, calOrigin }) {
      const origin = calOrigin || owner.origin;
      document.head.append(make("link", { rel: "preconnect", href: new URL(origin).origin }));
      if (!type) return;
      const address = addressOf({ name: owner.name, origin }, calLink, {}, "modal");
      if (!owner.modals.has(address.href)) build(owner, address);
    },
    prerender: (owner, wanted) => calls.preload(owner, { type: "modal", ...wanted }),
    on: (owner, { action, callback }) => owner.listeners.push({ action, callback }),
    off(owner, { action, callback }) {
      owner.listeners = owner.listeners.filter((one) => one.action !== action || one.callback !== callback);
    },
    ui(owner, looks) {
      Object.assign(owner.looks, looks);
      for (const one of frames) if (one.owner === owner && one.ready) say(one, "ui", looks);
    },
  };

  function run(owner, instruction) {
    const [method, ...given] = instruction;
    if (Array.isArray(method)) {
      for (const one of instruction) run(owner, one);
    } else if (Object.hasOwn(calls, method)) guarded(() => calls[method](owner, ...given));
    else console.error(`Cal: there is no ${method}`);
  }

  // What a stub has queued is done now, and what comes later, immediately.
  function adopt(target, owner) {
    const waiting = target.q || [];
    target.q = [];
    target.q.push = (...instructions) => instructions.forEach((one) => run(owner, one));
    target.q.push(...waiting);
  }

  function enter(name) {
    const owner = space(name);
    if (!name || owner.entered) return owner;
    owner.entered = true;
    const api = Cal.ns[name] || ((...instruction) => api.q.push(instruction));
    Cal.ns[name] = api;
    adopt(api, owner);
    return owner;
  }

  const Cal = window.Cal || ((...instruction) => Cal.q.push(instruction));
  window.Cal = Cal;
  Cal.calapp = Cal.loaded = true;
  Cal.ns ||= {};
  adopt(Cal, space(""));
  for (const name of Object.keys(Cal.ns)) enter(name);
})();
