// Where the time of an answer went: one bar cut into steps, and their milliseconds.

const HUES = { server: 255, preprocess: 255, encoder: 300, temporal: 350, classifier: 40, waiting: 90, network: 150, browser: 210 };
const EXPLAINED = {
  waiting: "in queues and between the steps",
  network: "between the page's server and Triton",
  browser: "between the browser and the page's server",
};
const number = new Intl.NumberFormat("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const milliseconds = (ms) => `${number.format(ms)} ms`;
const byId = (id) => document.getElementById(id);

function hueOf(name) {
  return HUES[name] ?? 120;
}

function piece({ name, ms }) {
  const part = document.createElement("i");
  part.style.flexGrow = ms;
  part.style.setProperty("--hue", hueOf(name));
  return part;
}

function line({ name, ms }) {
  const [group, term, value] = ["div", "dt", "dd"].map((tag) => document.createElement(tag));
  group.style.setProperty("--hue", hueOf(name));
  group.title = EXPLAINED[name] ?? "";
  term.textContent = name;
  value.textContent = milliseconds(ms);
  group.append(term, value);
  return group;
}

// `answer` has steps and total_ms; `elapsed` is what the browser saw of it, in milliseconds.
export function showLatency(answer, elapsed) {
  const steps = [...answer.steps, { name: "browser", ms: Math.max(0, elapsed - answer.total_ms) }];
  const told = answer.steps.length > 0;
  byId("total").textContent = milliseconds(elapsed);
  byId("latency").replaceChildren(...(told ? steps.map(piece) : []));
  byId("steps").replaceChildren(...(told ? steps.map(line) : []));
  byId("latency-hint").textContent = told ? "" : "The server does not tell how long each step took.";
}

export function clearLatency() {
  for (const id of ["total", "latency", "steps", "latency-hint"]) byId(id).replaceChildren();
}
