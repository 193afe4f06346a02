// Ties the parts of the page together: what is shown, what is asked, what is answered.

import { Camera } from "./camera.js";
import { clearLatency, showLatency } from "./latency.js";
import { clearRanking, showRanking } from "./ranking.js";
import { ask, Failure } from "./server.js";
import { Timeline } from "./timeline.js";

const NAMES = { har_temporal: "in order", har_base: "frames only", har_ensemble: "ensemble" };
const ABSENT = {
  har_zero_shot: "there are no labels in your own words",
  har_timeline: "there is no timeline of a video",
  har_stream: "each frame of the camera is looked at alone",
};
const ASK_AGAIN_MS = 5000;
const TYPING_PAUSE_MS = 350;

const byId = (id) => document.getElementById(id);
const video = byId("video");
const timeline = new Timeline(video);
const camera = new Camera(byId("live"), { answered, refused: showError, ended: endCamera });

let served = null; // what /api/server says
let meeting = false; // whether it is being asked
let file = null; // what is asked about
let asking = new AbortController(); // ends the questions about the last file
let typing = new AbortController(); // ends the question about the last words
let pause = 0;

const has = (model) => Boolean(served?.models.includes(model));
const isVideo = () => !file.type.startsWith("image/");

function showError(text) {
  const place = byId("error");
  if (place.textContent !== text) place.textContent = text; // else it would be read aloud again
  place.hidden = !text;
}

// Runs a question; tells `refused` why it failed, unless a newer one took its place.
async function attempt(question, refused = showError) {
  try {
    await question();
  } catch (error) {
    if (error.name === "AbortError") return;
    if (!(error instanceof Failure)) console.error(error);
    refused(error.message);
    if (error.kind === "away" || error.kind === "server_unavailable") meetServer();
  }
}

// --- the server ---

// Asks until there is an answer, and then about the file that had none.
async function meetServer() {
  if (meeting) return;
  meeting = true;
  const note = byId("server");
  for (served = null; !served; ) {
    try {
      served = await ask("api/server");
    } catch (error) {
      note.dataset.state = "away";
      if (note.textContent !== error.message) note.textContent = error.message;
      await new Promise((passed) => setTimeout(passed, ASK_AGAIN_MS));
    }
  }
  meeting = false;
  note.dataset.state = "there";
  note.textContent = served.server;
  byId("formats").textContent = served.formats;
  showModels();
  showAbsent();
  if (file && !byId("bars").children.length) askAboutFile();
}

function showModels() {
  const chosen = chosenModel();
  const known = served.classifiers.filter(has);
  const choices = known.map((model) => {
    const [label, input, name] = ["label", "input", "span"].map((tag) => document.createElement(tag));
    Object.assign(input, { type: "radio", name: "model", value: model });
    input.checked = model === (known.includes(chosen) ? chosen : known[0]);
    name.textContent = NAMES[model];
    label.title = model;
    label.append(input, name);
    return label;
  });
  byId("models").replaceChildren(byId("models").firstElementChild, ...choices);
  byId("models").hidden = known.length < 2;
}

function showAbsent() {
  byId("words-part").hidden = !has("har_zero_shot");
  const lacking = Object.keys(ABSENT).filter((model) => !has(model));
  byId("absent").replaceChildren(
    ...lacking.map((model) => {
      const item = document.createElement("li");
      item.textContent = `This server has no ${model}: ${ABSENT[model]}.`;
      return item;
    }),
  );
}

const chosenModel = () => document.querySelector("#models input:checked")?.value ?? "har_temporal";

// --- what is shown ---

function show(kind) {
  const part = { video: "video", picture: "picture", camera: "live", unshown: "unshown", nothing: "invitation" }[kind];
  for (const id of ["video", "picture", "live", "unshown", "invitation"]) byId(id).hidden = id !== part;
  byId("stage").dataset.shows = kind;
}

function take(chosen) {
  if (!chosen) return;
  stopCamera();
  showError("");
  const limit = served && (has("har_timeline") ? served.timeline_max_bytes : served.max_bytes);
  if (served && chosen.size > limit) {
    showError(`${chosen.name} is larger than ${Math.floor(limit / 2 ** 20)} MB, the most that the server takes.`);
    return;
  }
  file = chosen;
  byId("name").textContent = file.name;
  URL.revokeObjectURL(byId("stage").dataset.address);
  const address = URL.createObjectURL(file);
  byId("stage").dataset.address = address;
  const viewer = byId(isVideo() ? "video" : "picture");
  show(isVideo() ? "video" : "picture");
  viewer.onerror = () => show("unshown");
  viewer.src = address;
  if (isVideo()) video.play().catch(() => {}); // the user may, where the browser may not
  askAboutFile();
}

// Ends the questions about what was shown, and takes their answers off the page.
function forget() {
  asking.abort();
  typing.abort();
  byId("seen").ariaBusy = "false";
  byId("seen-hint").textContent = "";
  clearRanking(byId("bars"), byId("announced"));
  clearWords();
  clearLatency();
  timeline.clear();
}

function clearWords() {
  clearRanking(byId("words-bars"), byId("words-announced"));
  byId("words-state").textContent = "";
}

// --- what is asked ---

async function askAboutFile() {
  if (!file) return;
  forget();
  asking = new AbortController();
  const { signal } = asking;
  // A video that is too long for one answer still has a timeline.
  const split = has("har_timeline") && isVideo();
  const refused = (reason) => (split ? (byId("seen-hint").textContent = reason) : showError(reason));
  // One after the other, so that they do not wait for each other in the server's steps.
  await attempt(() => classify(signal), refused);
  if (!signal.aborted && has("har_zero_shot")) await askWords();
  if (!signal.aborted && split) await attempt(() => timeline.fill(file, signal));
}

async function classify(signal) {
  byId("seen").ariaBusy = "true";
  byId("seen-hint").textContent = "asking …";
  const start = performance.now();
  try {
    const answer = await ask(`api/classify?model=${chosenModel()}`, file, signal);
    answered(answer, performance.now() - start);
  } catch (error) {
    if (!signal.aborted) {
      byId("seen").ariaBusy = "false";
      byId("seen-hint").textContent = "No answer.";
    }
    throw error;
  }
}

function answered(answer, elapsed) {
  showError("");
  byId("seen").ariaBusy = "false";
  showRanking(byId("bars"), answer.predictions, byId("announced"));
  byId("seen-hint").textContent = `by ${answer.model}`;
  showLatency(answer, elapsed);
}

async function askWords() {
  const texts = [...new Set(byId("words").value.split(/[,;\n]/).map((text) => text.trim()).filter(Boolean))];
  typing.abort();
  if (!file || !texts.length) {
    clearWords();
    return;
  }
  typing = new AbortController();
  const { signal } = typing;
  const query = new URLSearchParams(texts.map((text) => ["text", text]));
  const tell = (text) => (byId("words-state").textContent = text);
  await attempt(async () => {
    const start = performance.now();
    const answer = await ask(`api/zero-shot?${query}`, file, signal);
    showRanking(byId("words-bars"), answer.predictions, byId("words-announced"));
    tell(`by ${answer.model} in ${Math.round(performance.now() - start)} ms`);
  }, (reason) => {
    clearWords();
    tell(reason);
  });
}

// --- the camera ---

async function toggleCamera() {
  if (camera.on) {
    stopCamera();
    return;
  }
  showError("");
  showCameraButton(true);
  await attempt(async () => {
    await camera.start();
    forget();
    file = null;
    video.pause();
    byId("name").textContent = "";
    show("camera");
  }, endCamera);
}

function endCamera(reason) {
  stopCamera();
  showError(reason);
}

function stopCamera() {
  camera.stop();
  showCameraButton(false);
  if (byId("stage").dataset.shows === "camera") show("nothing");
}

function showCameraButton(on) {
  byId("camera").ariaPressed = String(on);
  byId("camera").textContent = on ? "Stop the camera" : "Use the camera";
}

// --- hands on the page ---

byId("file").addEventListener("change", (event) => {
  take(event.target.files[0]);
  event.target.value = ""; // so that the same file can be chosen again
});
byId("camera").addEventListener("click", toggleCamera);
byId("models").addEventListener("change", askAboutFile);
byId("words").addEventListener("input", () => {
  clearTimeout(pause);
  pause = setTimeout(askWords, TYPING_PAUSE_MS);
});
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    if (!event.dataTransfer.types.includes("Files")) return; // text may go into the words
    event.preventDefault();
    byId("stage").toggleAttribute("data-over", kind === "dragover");
    if (kind === "drop") take(event.dataTransfer.files[0]);
  });
}
document.addEventListener("paste", (event) => take(event.clipboardData.files[0]));

timeline.clear();
meetServer();
