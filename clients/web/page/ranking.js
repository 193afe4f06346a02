// Labels with bars, best first.

const percent = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 1, minimumFractionDigits: 1 });

function row({ label, score }) {
  const item = document.createElement("li");
  const [name, number, bar, fill] = ["span", "span", "span", "i"].map((tag) => document.createElement(tag));
  name.className = "label";
  name.textContent = label;
  number.className = "score";
  number.textContent = percent.format(score);
  bar.className = "bar";
  bar.ariaHidden = "true";
  fill.style.width = `${100 * score}%`;
  bar.append(fill);
  item.append(name, number, bar);
  return item;
}

// `announced` is read aloud when the best label is another one.
export function showRanking(list, predictions, announced) {
  list.replaceChildren(...predictions.map(row));
  const best = predictions[0];
  if (best && announced.dataset.label !== best.label) {
    announced.dataset.label = best.label;
    announced.textContent = `${best.label}, ${percent.format(best.score)}`;
  }
}

export function clearRanking(list, announced) {
  list.replaceChildren();
  announced.textContent = "";
  delete announced.dataset.label;
}
