// Times stand in UTC. This adds the viewer's own time to each as a hint; without scripts nothing is missing but that.
"use strict";
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const format = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
for (const element of document.querySelectorAll("time[datetime]")) {
  element.title = `${format.format(new Date(element.dateTime))} (${zone})`;
}
const hint = document.getElementById("local-zone");
if (hint && zone && zone !== "UTC") {
  hint.querySelector("span").textContent = zone;
  hint.hidden = false;
}
