// The pane "Predict": a form and a picture for each task.

import { ask, bar, byId, drawn, element, showProblem } from "./api.js";

const [WIDTH, HEIGHT, MARGIN] = [720, 240, 36];

let chosen;

/** Start the pane; `model` returns the chosen model. */
export function startPredict(model) {
  chosen = model;
  byId("file").addEventListener("change", async (event) => {
    const file = event.target.files[0];
    if (file) byId("predict-input").value = await file.text();
  });
  byId("predict-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    showProblem();
    const text = byId("predict-input").value;
    const whole = readsTable(chosen()) || readsColumns(chosen());
    const input = whole ? text : text.split("\n").filter((line) => line.trim());
    const began = performance.now();
    try {
      const body = { model: chosen().id, input };
      if (chosen().task === "translate") body.alignment = true;
      if (readsColumns(chosen())) body.format = "conll";
      const { data } = await ask("/v1/predict", body);
      byId("answers").replaceChildren(...data.map(picture));
      byId("predict-status").textContent = `${data.length} answers in ${Math.round(performance.now() - began)} ms`;
    } catch (error) {
      showProblem(error);
    }
  });
}

/** Fit the form to a model. */
export function modelChosen(model) {
  if (!model || model.task === "lm") return;
  const table = readsTable(model);
  byId("predict-label").textContent = label(model);
  byId("file-label").hidden = !table;
  byId("answers").replaceChildren();
}

function label(model) {
  if (readsTable(model)) return "Table of a series (CSV)";
  if (!readsColumns(model)) return "Text, one a line";
  const columns = model.columns.length === 1 ? "its further column" : `its ${model.columns.length} further columns`;
  return `A word and ${columns} on each line, an empty line between sentences`;
}

/** Whether a model reads more of each word than its text, such as its part of speech. */
function readsColumns(model) {
  return model.task === "tag" && model.columns?.length > 0;
}

function readsTable(model) {
  return model.task === "forecast" || !model.reads_text;
}

function picture(answer) {
  if (answer.probabilities) return classes(answer);
  if (answer.tags) return tags(answer);
  if (answer.mean) return forecast(answer);
  return translation(answer);
}

function classes(answer) {
  const rows = Object.entries(answer.probabilities)
    .sort((a, b) => b[1] - a[1])
    .map(([label, share]) => bar("div", label, share));
  return element("div", { className: "answer" }, element("h2", {}, answer.label), ...rows);
}

/** The hue of a kind of tag, the same for its beginning and its inside. */
function hue(tag) {
  const kind = tag.replace(/^[BIES]-/, "");
  return [...kind].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) % 360, 7);
}

function tags(answer) {
  const spans = answer.tokens.map((token, at) => {
    const tag = answer.tags[at];
    const span = element("span", { className: "tagged" }, token, element("small", {}, tag === "O" ? "\u00a0" : tag));
    span.classList.toggle("outside", tag === "O");
    span.style.setProperty("--hue", hue(tag));
    return span;
  });
  return element("div", { className: "answer" }, ...spans);
}

function translation(answer) {
  const card = element("div", { className: "answer" }, element("h2", {}, answer.source), element("p", {}, answer.text));
  if (!answer.alignment) return card;
  const { source, target, weights } = answer.alignment;
  const head = element("tr", {}, element("th"), ...source.map((token) => element("th", { scope: "col" }, token)));
  const rows = target.map((token, row) => {
    const cells = weights[row].map((weight, at) => {
      const cell = element("td", { title: `${token} ← ${source[at]}: ${(weight * 100).toFixed(0)}%` });
      cell.style.setProperty("--p", weight);
      return cell;
    });
    return element("tr", {}, element("th", { scope: "row" }, token), ...cells);
  });
  card.append(element("div", { className: "scroll" }, element("table", { className: "matrix" }, head, ...rows)));
  return card;
}

function forecast(answer) {
  const history = answer.history ?? [];
  const known = history.filter((value) => value !== null);
  const quantiles = Object.entries(answer.quantiles ?? {}).sort((a, b) => a[0] - b[0]).map(([, values]) => values);
  const all = [...known, ...answer.mean, ...quantiles.flat()];
  const [low, high] = [Math.min(...all), Math.max(...all)];
  const steps = Math.max(history.length + answer.mean.length - 1, 1);
  const x = (step) => MARGIN + (step / steps) * (WIDTH - 2 * MARGIN);
  const y = (value) => HEIGHT - MARGIN - ((value - low) / (high - low || 1)) * (HEIGHT - 2 * MARGIN);
  const points = (values, from) => values.map((value, at) => `${x(from + at)},${y(value)}`);
  // The line has gaps where values are missing; a value between two gaps is a dot.
  const line = history.map((value, at) => {
    if (value === null) return "";
    const begins = (history[at - 1] ?? null) === null;
    return begins ? `M${x(at)},${y(value)}h0` : `L${x(at)},${y(value)}`;
  });
  const name = answer.target && answer.target !== answer.series ? `${answer.series}, ${answer.target}` : answer.series;
  const label = `Forecast of ${name} from ${answer.start}: ${answer.mean.length} steps`;
  const chart = drawn("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label });
  if (quantiles.length > 1) {
    const [lowest, highest] = [quantiles[0], quantiles.at(-1)];
    const around = [...points(highest, history.length), ...points(lowest, history.length).reverse()];
    chart.append(drawn("polygon", { class: "quantiles", points: around.join(" ") }));
  }
  chart.append(
    drawn("path", { class: "history", d: line.join("") }),
    drawn("polyline", { class: "mean", points: points(answer.mean, history.length).join(" ") }),
    drawn("text", { x: 4, y: y(high) + 4 }, high.toPrecision(4)),
    drawn("text", { x: 4, y: y(low) + 4 }, low.toPrecision(4)),
    drawn("text", { x: x(history.length), y: HEIGHT - 8 }, String(answer.start)),
  );
  return element("div", { className: "answer" }, element("h2", {}, String(name)), chart);
}
