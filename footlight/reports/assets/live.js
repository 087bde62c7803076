// Reloads the page when its runs have grown, at the place to which it was scrolled.
"use strict";
(() => {
  const PAUSE = 3000;
  const key = `footlight ${location.pathname}${location.search}`;
  let version = null;
  let isOver = false;

  const kept = sessionStorage.getItem(key);
  if (kept !== null) {
    sessionStorage.removeItem(key);
    requestAnimationFrame(() => scrollTo(0, Number(kept)));
  }

  if (!location.pathname.endsWith("/")) {
    const link = document.createElement("a");
    link.href = "./";
    link.textContent = "All runs";
    document.body.prepend(link);
  }

  // Somebody who chooses runs or watches a video is not interrupted.
  const isBusy = () =>
    document.querySelector("input:checked") !== null ||
    [...document.querySelectorAll("video")].some((video) => !video.paused);

  const tell = (text) => {
    isOver = true;
    const line = document.createElement("p");
    line.textContent = text;
    line.setAttribute("role", "status");
    document.body.prepend(line);
  };

  const look = async () => {
    if (document.hidden || isOver || isBusy()) return;
    let found;
    try {
      found = await fetch(location.href, { method: "HEAD", cache: "no-store" });
    } catch {
      tell("footlight watch-runs has ended: this page does not change any more.");
      return;
    }
    const now = found.headers.get("ETag");
    if (!found.ok || now === null) return;
    if (version !== null && now !== version) {
      sessionStorage.setItem(key, String(scrollY));
      location.reload();
    }
    version ??= now;
  };

  setInterval(look, PAUSE);
  document.addEventListener("visibilitychange", look);
  look();
})();
