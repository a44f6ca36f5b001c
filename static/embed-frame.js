"use strict";
// A booking page in a frame on another site: what it tells the page around it, and how it takes on its looks.
// Any site may frame it and hear these messages; what comes from outside changes nothing but the looks.
(() => {
  const root = document.documentElement;
  // The address is about to get the visitor's zone (app.js); the page that follows says that it is there.
  if (window.parent === window || "leaving" in root.dataset) return;
  const dark = document.getElementById("dark");
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const { namespace: given, kind, failed } = frame().dataset;
  const prerendering = "prerendering" in frame().dataset;
  const namespace = given || (window.name.startsWith("cal-embed=") ? window.name.slice(10) : "");

  function frame() {
    return document.getElementById("frame");
  }

  function fire(type, data = {}) {
    const message = { originator: "CAL", type, namespace, fullType: `CAL:${namespace}:${type}`, data };
    window.parent.postMessage(message, "*");
  }

  // How much room it takes

  let height = 0;
  let width = 0;

  function measure() {
    const isFirstTime = height === 0;
    const now = [Math.ceil(root.getBoundingClientRect().height), document.querySelector("main").scrollWidth];
    if (now[0] === height && now[1] === width) return;
    [height, width] = now;
    fire("__dimensionChanged", { iframeHeight: height, iframeWidth: width, isFirstTime });
  }

  // Looks, as the page around wants them. What is no colour is left out.

  const TOKENS = {
    "cal-brand": "--brand",
    "cal-brand-emphasis": "--brand-hover",
    "cal-brand-text": "--on-brand",
    "cal-bg": "--bg",
    "cal-bg-muted": "--muted",
    "cal-bg-subtle": "--subtle",
    "cal-bg-emphasis": "--emphasis",
    "cal-border": "--line-strong",
    "cal-border-booker": "--line",
    "cal-text": "--normal",
    "cal-text-emphasis": "--high",
    "cal-text-subtle": "--low",
  };
  const looks = { theme: { all: "dark", "not all": "light" }[dark.media] || "auto", light: {}, dark: {} };

  function isColor(value) {
    return typeof value === "string" && CSS.supports("color", value);
  }

  function wear(wanted) {
    if (["light", "dark", "auto"].includes(wanted.theme)) looks.theme = wanted.theme;
    const brand = wanted.styles?.branding?.brandColor;
    for (const theme of ["light", "dark"]) {
      const colors = { ...(brand && { "cal-brand": brand }), ...wanted.cssVarsPerTheme?.[theme] };
      for (const [name, value] of Object.entries(colors)) {
        if (TOKENS[name] && isColor(value)) looks[theme][TOKENS[name]] = value;
      }
    }
    if ("hideEventTypeDetails" in wanted) {
      root.classList.toggle("no-details", wanted.hideEventTypeDetails === true);
    }
    const background = wanted.styles?.body?.background;
    if (isColor(background)) root.style.background = background;
    dress();
  }

  function dress() {
    const { theme } = looks;
    const isDark = theme === "dark" || (theme === "auto" && system.matches);
    dark.media = { light: "not all", dark: "all" }[theme] || "(prefers-color-scheme: dark)";
    const worn = { ...looks[isDark ? "dark" : "light"] };
    if (worn["--brand"]) {
      worn["--brand-hover"] ??= worn["--brand"];
      worn["--on-brand"] ??= readableOn(worn["--brand"]);
    }
    for (const token of Object.values(TOKENS)) {
      if (worn[token]) root.style.setProperty(token, worn[token]);
      else root.style.removeProperty(token);
    }
  }

  // Black or white, whichever has more contrast (WCAG's relative luminance).
  function readableOn(color) {
    const probe = document.body.appendChild(document.createElement("i"));
    probe.style.color = color;
    const parts = getComputedStyle(probe).color.match(/^rgba?\((\d+), (\d+), (\d+)/);
    probe.remove();
    if (!parts) return "#fff";
    const [r, g, b] = parts.slice(1).map((part) => {
      const share = part / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000" : "#fff";
  }

  system.addEventListener("change", dress);

  // A page that was loaded before it was wanted gets then what its address would have said.
  function connect(config) {
    const address = new URL(location.href);
    address.searchParams.delete("prerender");
    for (const [name, value] of Object.entries({ theme: looks.theme, ...config })) {
      address.searchParams.delete(name);
      for (const one of [value].flat()) {
        if (["string", "number", "boolean"].includes(typeof one)) address.searchParams.append(name, one);
      }
    }
    location.replace(address);
  }

  window.addEventListener("message", (event) => {
    if (event.source !== window.parent || event.data?.originator !== "CAL") return;
    const { method, arg } = event.data;
    if (method === "ui" && arg) wear(arg);
    if (method === "connect" && prerendering) connect(arg);
  });

  // What happens here

  function tell() {
    for (const [type, data] of JSON.parse(frame().dataset.events)) fire(type, data);
    const address = new URL(location.href);
    if (address.searchParams.has("done")) {
      // Neither Back nor Reload books again.
      address.searchParams.delete("done");
      history.replaceState(history.state, "", address);
    }
    const onward = document.getElementById("onward");
    if (!onward) return;
    fire("__redirect", { url: onward.href });
    try {
      window.top.location.href = onward.href;
    } catch {
      // Not allowed in this frame: the page around does it, or the visitor by the link.
    }
  }

  document.addEventListener("htmx:after:swap", (event) => {
    if (event.detail.ctx.target !== document.body) return;
    tell();
    const main = document.querySelector("main");
    if (document.activeElement !== document.body) return;
    main.tabIndex = -1;
    main.focus({ preventScroll: true });
  });
  document.addEventListener("htmx:after:history:push", () => fire("__routeChanged"));
  document.addEventListener("htmx:finally:request", () => {
    for (const form of document.querySelectorAll("form.sending")) form.classList.remove("sending");
  });

  document.addEventListener("click", (event) => {
    const chosen = event.target.closest("[data-event-type]");
    if (chosen) fire("eventTypeSelected", { eventType: JSON.parse(chosen.dataset.eventType) });
    const outside = !event.target.closest("main > *, #toasts") && event.target.isConnected;
    if (outside && kind && kind !== "inline") fire("__closeIframe");
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !event.defaultPrevented && kind !== "inline") fire("__closeIframe");
  });

  fire("__iframeReady", { isPrerendering: prerendering });
  measure();
  new ResizeObserver(measure).observe(document.body);
  if (failed) {
    const msg = document.querySelector("main").innerText.trim().replace(/\s+/g, " ");
    fire("linkFailed", { code: failed, msg, data: { url: location.href } });
  } else {
    fire("linkReady");
    tell();
  }
  window.addEventListener("load", () => fire("__windowLoadComplete"));
})();
