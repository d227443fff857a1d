// What the gallery cannot do without a script. Every page works without it.
"use strict";

// Airflow's own choice of light or dark, which it keeps in the browser; without one, the system's holds.
function followAirflow() {
  let theme = null;
  try {
    theme = localStorage.getItem("theme");
  } catch {
    // A browser that keeps nothing.
  }
  const root = document.documentElement;
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  else delete root.dataset.theme;
}

// Airflow shows the gallery in a frame that may not lead its window elsewhere. A link of the window's own document may.
function leadWindow(event) {
  const link = event.target.closest("a[data-top]");
  if (!link || window.parent === window || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  try {
    const own = window.parent.document.createElement("a");
    own.href = link.href;
    window.parent.document.body.append(own);
    own.click();
    own.remove();
    event.preventDefault();
  } catch {
    // A frame of somebody else's: the browser follows the link inside it.
  }
}

// Arrows go from picture to picture, in a grid also up and down; Enter is the browser's.
function move(event) {
  if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
  if (event.target.closest("input, select, textarea, summary")) return;
  if (event.key === "Escape") return follow(event, "a[data-up]");
  const links = [...document.querySelectorAll(".tiles a.pictures, a.run")];
  if (!links.length) {
    if (event.key === "ArrowLeft") follow(event, "a[rel=prev]");
    if (event.key === "ArrowRight") follow(event, "a[rel=next]");
    return;
  }
  const here = links.indexOf(document.activeElement);
  const next = target(links, here, event.key);
  if (next === undefined) return;
  event.preventDefault();
  links[next].focus();
  links[next].scrollIntoView({ block: "nearest" });
}

function target(links, here, key) {
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -1, ArrowDown: 1 };
  if (!(key in steps)) return undefined;
  if (here < 0) return 0;
  let next = here + steps[key];
  if (key === "ArrowUp" || key === "ArrowDown") {
    const place = links[here].getBoundingClientRect();
    const isAbove = (link) => Math.abs(link.getBoundingClientRect().left - place.left) < 2;
    while (links[next] && !isAbove(links[next])) next += steps[key];
  }
  return links[next] ? next : undefined;
}

function follow(event, selector) {
  const link = document.querySelector(selector);
  if (link) {
    event.preventDefault();
    link.click();
  }
}

// A run or a batch at work: what changes is loaded again and again, and whoever has chosen a link there keeps it.
function refresh() {
  const live = document.querySelector("#live[data-refresh]");
  if (!live) return;
  setTimeout(async () => {
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.querySelector("#live");
      if (answer.ok && fresh) {
        if (!fresh.dataset.refresh) return location.reload();
        const chosen = live.contains(document.activeElement) && document.activeElement.getAttribute("href");
        live.replaceWith(fresh);
        if (chosen) fresh.querySelector(`a[href="${CSS.escape(chosen)}"]`)?.focus({ preventScroll: true });
      }
    } catch {
      // The server is away; the next time it may be there.
    }
    refresh();
  }, 1000 * Number(live.dataset.refresh));
}

followAirflow();
addEventListener("storage", followAirflow);
addEventListener("click", leadWindow);
addEventListener("keydown", move);
addEventListener("DOMContentLoaded", refresh);
