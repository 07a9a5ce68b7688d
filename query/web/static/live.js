// New and changed rows of the list appear without a reload. Rows wait behind a button while the page is paused, scrolled,
// or has an open row, so that nothing moves under the reader. Without this script a reload shows them.
"use strict";
const live = document.getElementById("live");
const words = document.getElementById("live-words").dataset;
const state = document.getElementById("live-state");
const said = document.getElementById("live-said");
const pause = document.getElementById("live-pause");
const pill = document.getElementById("live-new");
const MOST_ROWS = 200;
let waiting = new Map();
let isPaused = false;
let isStale = false;
let source;

function table() {
  return document.querySelector("table.deliveries");
}

function isHeld() {
  return isPaused || window.scrollY > 200 || document.querySelector(".delivery details[open]") !== null;
}

function place(row) {
  const list = table();
  const element = document.createElement("template");
  element.innerHTML = row.html;
  const body = element.content.querySelector("tbody");
  document.getElementById(body.id)?.remove();
  const next = [...list.tBodies].find((one) => Number(one.dataset.at) <= row.at);
  list.insertBefore(body, next ?? null);
  document.dispatchEvent(new CustomEvent("postwatch:row", { detail: body }));
}

function showWaiting() {
  if (!table()) {
    window.location.reload();
    return;
  }
  for (const [id, row] of [...waiting].sort((one, other) => one[1].at - other[1].at)) {
    if (row.html) {
      place(row);
    } else {
      document.getElementById(`row-${id}`)?.remove();
    }
  }
  const shown = [...waiting.values()].filter((row) => row.html).length;
  if (shown) {
    said.textContent = words.said.replace("{number}", shown);
    refreshCounts();
  }
  waiting = new Map();
  tellWaiting();
}

function tellWaiting() {
  const number = [...waiting.values()].filter((row) => row.html).length;
  pill.hidden = number === 0 && !isStale;
  if (isStale) {
    pill.textContent = words.reload;
  } else if (number) {
    pill.textContent = words.new.replace("{number}", number);
  }
}

function take(changes) {
  for (const id of changes.gone) {
    waiting.set(id, { at: 0, html: "" });
  }
  for (const row of changes.rows) {
    waiting.delete(row.id);
    waiting.set(row.id, row);
  }
  if (changes.more || waiting.size > MOST_ROWS || (table()?.tBodies.length ?? 0) > MOST_ROWS) {
    beginAnew();
  } else if (isHeld() || isStale) {
    tellWaiting();
  } else {
    showWaiting();
  }
}

function beginAnew() {
  isStale = true;
  waiting = new Map();
  tellWaiting();
}

let countsDue = 0;
function refreshCounts() {
  // The counts are those of all pages, so only the server can tell them: at most once in 15 seconds.
  if (countsDue) {
    return;
  }
  countsDue = window.setTimeout(async () => {
    countsDue = 0;
    try {
      const answer = await fetch(live.dataset.counts, { credentials: "same-origin", headers: { "x-unattended": "1" } });
      if (answer.ok) {
        const found = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("counts");
        if (found) {
          document.getElementById("counts").replaceWith(found);
        }
      }
    } catch {
      // the next change asks again
    }
  }, 15000);
}

function say(word) {
  state.textContent = isPaused && word === words.live ? words.paused : word;
}

function connect() {
  source = new EventSource(live.dataset.address);
  source.addEventListener("open", () => say(words.live));
  source.addEventListener("rows", (event) => take(JSON.parse(event.data)));
  source.addEventListener("reload", beginAnew);
  source.addEventListener("away", () => say(words.away));
  source.addEventListener("back", () => say(words.live));
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) {
      // Refused: too many pages, or logged out. The browser does not try again by itself.
      say(words.ended);
      window.setTimeout(connect, 30000 + Math.random() * 30000);
    } else {
      say(words.lost);
    }
  });
}

pause.addEventListener("click", () => {
  isPaused = !isPaused;
  pause.setAttribute("aria-pressed", String(isPaused));
  say(words.live);
  if (!isPaused && !isHeld() && !isStale) {
    showWaiting();
  }
});
pill.addEventListener("click", () => {
  if (isStale) {
    window.location.reload();
    return;
  }
  window.scrollTo({ top: 0 });
  showWaiting();
});
window.addEventListener("pagehide", () => source?.close());
window.addEventListener("pageshow", (event) => {
  if (event.persisted) {
    connect();
  }
});
live.hidden = false;
connect();
