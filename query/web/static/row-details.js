// The details of a row come from the server when it is opened for the first time. Without this script, and where they do not
// come, the row leads to its story by a link.
"use strict";
document.addEventListener(
  "toggle",
  async (event) => {
    const opened = event.target;
    const address = opened.open && !opened.ariaBusy && opened.dataset.of;
    if (!address) {
      return;
    }
    const inside = opened.querySelector(".inside");
    opened.ariaBusy = "true";
    try {
      const answer = await fetch(address, { credentials: "same-origin", headers: { accept: "text/html" } });
      if (!answer.ok || answer.redirected) {
        throw new Error(String(answer.status)); // logged out, or not there any more: the link says more
      }
      inside.outerHTML = await answer.text();
      delete opened.dataset.of;
      document.dispatchEvent(new CustomEvent("postwatch:row", { detail: opened }));
    } catch {
      if (!inside.querySelector("[role=alert]")) {
        const said = document.createElement("p");
        said.setAttribute("role", "alert");
        said.textContent = opened.closest("table").dataset.unavailable;
        inside.append(said);
      }
    }
    opened.ariaBusy = null;
  },
  true, // it does not bubble
);
