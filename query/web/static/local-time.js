// Times stand in the zone that the page names. This shows them in the browser's own zone, unless the viewer chose one, and
// keeps that zone in a cookie, so that the server shows it from the next page on. Without scripts nothing is missing but that.
"use strict";
(() => {
  const own = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const shown = document.documentElement.dataset.zone;
  const kept = /(?:^|; )postwatch_zone=([^;]*)/.exec(document.cookie)?.[1] ?? "";
  const isChosen = kept !== "" && !decodeURIComponent(kept).startsWith("auto:");
  if (!own || !shown || isChosen) {
    return;
  }
  const secure = location.protocol === "https:" ? "; secure" : "";
  document.cookie = `postwatch_zone=auto:${encodeURIComponent(own)}; path=/; max-age=31536000; samesite=lax${secure}`;
  if (own === shown) {
    return;
  }
  const language = document.documentElement.lang;
  const format = new Intl.DateTimeFormat(language === "en" ? "sv-SE" : language, {
    timeZone: own,
    ...(language === "en"
      ? { year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" }
      : { dateStyle: "medium", timeStyle: "medium" }),
  });
  const localize = (root) => {
    for (const element of root.querySelectorAll("time[datetime]")) {
      element.textContent = format.format(new Date(element.dateTime));
    }
  };
  localize(document);
  document.addEventListener("postwatch:row", (event) => localize(event.detail));
  for (const element of document.querySelectorAll("[data-zone-name]")) {
    element.textContent = own;
  }
  for (const field of document.querySelectorAll("input[data-zone]")) {
    const form = field.form;
    // What stands there already was written in the zone that was shown before.
    if (!form.elements.since?.value && !form.elements.until?.value) {
      field.value = own;
      for (const element of form.querySelectorAll("[data-zone-of-fields]")) {
        element.textContent = own;
      }
    }
  }
})();
