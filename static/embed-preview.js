"use strict";
// The preview of the embed card: does what the code for another site would do.
(() => {
  const area = document.getElementById("preview-area");
  const { link: calLink, kind, config } = area.dataset;
  const wanted = { calLink, config: JSON.parse(config) };
  if (kind === "inline") window.Cal("inline", { elementOrSelector: area, ...wanted });
  if (kind === "floating") window.Cal("floatingButton", { buttonText: "Book a meeting", ...wanted });
})();
