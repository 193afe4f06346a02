// Segments of a video along its length; each is a button that seeks to it.

import { lines } from "./server.js";

const byId = (id) => document.getElementById(id);
const clock = (seconds) =>
  `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}.${Math.floor((seconds % 1) * 10)}`;
const SEEK_ERROR = 0.01; // seconds by which a browser rounds the time that it is sent to
const hues = new Map();

// Labels in the order of their coming get hues that lie far apart.
function hueOf(label) {
  if (!hues.has(label)) hues.set(label, (215 + hues.size * 137.5) % 360);
  return hues.get(label);
}

export class Timeline {
  constructor(video) {
    this.video = video;
    this.track = byId("timeline");
    this.playhead = Object.assign(document.createElement("span"), { className: "playhead", ariaHidden: "true" });
    this.segments = [];
    video.addEventListener("timeupdate", () => this.follow());
    video.addEventListener("loadedmetadata", () => this.layOut());
    this.track.addEventListener("keydown", (event) => this.walk(event));
  }

  clear() {
    this.segments = [];
    this.track.replaceChildren(this.playhead);
    byId("timeline-part").hidden = true;
  }

  async fill(file, signal) {
    this.clear();
    byId("timeline-part").hidden = false;
    byId("timeline-hint").textContent = "looking …";
    try {
      for await (const segment of lines("api/timeline", file, signal)) {
        if (signal.aborted) return;
        this.add(segment);
      }
    } catch (error) {
      const some = this.segments.length > 0;
      if (!signal.aborted) byId("timeline-hint").textContent = some ? "No answer about the rest." : "No answer.";
      throw error;
    }
    const count = this.segments.length;
    byId("timeline-hint").textContent =
      count ? `${count} ${count === 1 ? "part" : "parts"}: choose one to go there, arrow keys lead to the next.` : "Nothing found.";
  }

  add(segment) {
    const button = document.createElement("button");
    const { start, end, label, score } = segment;
    button.type = "button";
    button.textContent = label;
    button.tabIndex = this.segments.length ? -1 : 0;
    button.title = `${label}, ${clock(start)} to ${clock(end)}, ${Math.round(100 * score)} %`;
    button.ariaLabel = button.title;
    button.style.setProperty("--hue", hueOf(label));
    button.addEventListener("click", () => this.seek(start));
    this.segments.push({ ...segment, button });
    this.track.append(button);
    this.layOut();
  }

  get length() {
    const last = this.segments.at(-1)?.end ?? 0;
    return Math.max(last, Number.isFinite(this.video.duration) ? this.video.duration : 0) || 1;
  }

  layOut() {
    for (const { start, end, button } of this.segments) {
      button.style.left = `${(100 * start) / this.length}%`;
      button.style.width = `${(100 * (end - start)) / this.length}%`;
    }
    this.follow();
  }

  seek(seconds) {
    this.video.currentTime = seconds;
    this.follow();
  }

  follow() {
    const now = this.video.currentTime;
    this.playhead.style.left = `${(100 * now) / this.length}%`;
    byId("now").textContent = "";
    for (const { start, end, button } of this.segments) {
      const current = start <= now + SEEK_ERROR && now + SEEK_ERROR < end;
      button.ariaCurrent = String(current);
      if (current) byId("now").textContent = button.title;
    }
  }

  // One stop for Tab; the arrow keys, Home and End lead from segment to segment.
  walk(event) {
    const buttons = this.segments.map((segment) => segment.button);
    const at = buttons.indexOf(document.activeElement);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: buttons.length - 1 }[event.key];
    if (at < 0 || to === undefined || !buttons[to]) return;
    event.preventDefault();
    buttons[at].tabIndex = -1;
    buttons[to].tabIndex = 0;
    buttons[to].focus();
  }
}
