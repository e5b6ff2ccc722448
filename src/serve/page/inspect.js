// The pane "Look inside": the hidden units of a language model while it reads a text.

import { ask, byId, drawn, element, showProblem, visible } from "./api.js";

const COLD = [43, 108, 176];
const WARM = [220, 110, 50];
/** The most bits that have a shade of their own. */
const MOST_BITS = 12;
/** The size of the curve of a gate, and the place of its name. */
const [WIDTH, HEIGHT, NAMES] = [720, 44, 90];

/** What was read: model, input, tokens, bits, units (a row of values in [-1, 1] for each). */
let read = null;
/** The numbers of the units in the chosen order. */
let order = [];

/** Start the pane; `model` returns the chosen model. */
export function startInspect(model) {
  byId("inspect-text").value =
    "KING HENRY:\nOnce more unto the breach, dear friends, once more;\nOr close the wall up with our English dead.\n";
  byId("inspect-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    showProblem();
    try {
      const input = byId("inspect-text").value;
      const answer = await ask("/v1/inspect", { model: model().id, input });
      const units = answer.units.map((unit) => unit.map((value) => value / answer.scale));
      read = { ...answer, input, units };
    } catch (error) {
      showProblem(error);
      return;
    }
    sort();
    show();
  });
  byId("order").addEventListener("change", () => {
    if (!read) return;
    sort();
    show();
  });
  for (const id of ["unit", "colour"]) byId(id).addEventListener("change", () => read && show());
  byId("map").addEventListener("click", (event) => {
    const { top, height } = event.target.getBoundingClientRect();
    const row = Math.floor(((event.clientY - top) / height) * order.length);
    byId("unit").value = order[row];
    byId("colour").value = "unit";
    show();
  });
}

/** For each token a number that the units may follow. */
function feature(name) {
  let position = 0;
  let inside = false;
  return read.tokens.map((token) => {
    const found = { position, quotes: Number(inside), ends: Number(token.includes("\n") || token === "<eos>") };
    position = found.ends ? 0 : position + 1;
    if (token.includes('"')) inside = !inside;
    return found[name];
  });
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

function variance(values) {
  const middle = mean(values);
  return mean(values.map((value) => (value - middle) ** 2));
}

/** Pearson's correlation; 0 if one of the two does not vary. */
function correlation(xs, ys) {
  const [x, y] = [mean(xs), mean(ys)];
  const covariance = mean(xs.map((value, at) => (value - x) * (ys[at] - y)));
  const scale = Math.sqrt(variance(xs) * variance(ys));
  return scale > 0 ? covariance / scale : 0;
}

function sort() {
  const by = byId("order").value;
  const target = by === "variance" ? null : feature(by);
  const figure = read.units.map((unit) => (target ? correlation(unit, target) : variance(unit)));
  order = figure.map((_, unit) => unit).sort((a, b) => Math.abs(figure[b]) - Math.abs(figure[a]));
  const option = (unit) => element("option", { value: unit }, `${unit} (${figure[unit].toFixed(3)})`);
  byId("unit").replaceChildren(...order.map(option));
  byId("unit").value = order[0];
}

/** A colour from blue over none to orange. */
function shade(value, most = 0.75) {
  const [r, g, b] = value < 0 ? COLD : WARM;
  return `rgb(${r} ${g} ${b} / ${Math.min(Math.abs(value), 1) * most})`;
}

function show() {
  const unit = Number(byId("unit").value);
  const byBits = byId("colour").value === "bits";
  const spans = read.tokens.map((token, at) => {
    const value = byBits ? read.bits[at] / MOST_BITS : read.units[unit][at];
    const span = element("span", {}, token === "<eos>" ? "\n" : token);
    span.style.background = shade(value);
    const state = `unit ${unit} at ${read.units[unit][at].toFixed(3)}`;
    span.title = `${visible(token)}: ${read.bits[at].toFixed(2)} bits, ${state}`;
    return span;
  });
  byId("inspected").replaceChildren(...spans);
  const total = read.bits.reduce((sum, bits) => sum + bits, 0);
  byId("inspect-status").textContent =
    `${read.tokens.length} tokens cost ${total.toFixed(1)} bits, ` +
    `${(total / read.tokens.length).toFixed(2)} a token; ${read.units.length} units`;
  draw();
  showGates(read, unit);
}

/** Show the gates of a unit over the text. */
async function showGates({ model, input, tokens }, unit) {
  let gates;
  try {
    ({ gates } = await ask("/v1/inspect", { model, input, unit }));
  } catch (error) {
    showProblem(error);
    return;
  }
  // Another unit may have been chosen meanwhile.
  if (Number(byId("unit").value) !== unit) return;
  byId("gates").replaceChildren(...Object.entries(gates).map(([name, values]) => curve(name, values, tokens)));
  byId("gates-caption").textContent =
    `Gates of unit ${unit} after each token: 0 is closed, 1 is open. Candidate and cell state lie around 0.`;
  byId("gates-figure").hidden = Object.keys(gates).length === 0;
}

/** The curve of a gate, between 0 and 1, or around 0 if it has negative values. */
function curve(name, values, tokens) {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const high = Math.max(1, most, -least);
  const low = least < 0 ? -high : 0;
  const x = (at) => NAMES + ((at + 0.5) / values.length) * (WIDTH - NAMES);
  const y = (value) => HEIGHT - 4 - ((value - low) / (high - low)) * (HEIGHT - 8);
  const label = `${name}: ${least.toFixed(2)} to ${most.toFixed(2)} over ${tokens.length} tokens`;
  const chart = drawn("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label });
  const points = values.map((value, at) => `${x(at).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
  const zero = { class: "zero", x1: NAMES, x2: WIDTH, y1: y(0), y2: y(0) };
  chart.append(drawn("text", { x: 0, y: HEIGHT / 2 + 4 }, name), drawn("line", zero));
  chart.append(drawn("polyline", { class: "mean", points }));
  return chart;
}

/** Draw the heat map: a pixel for each unit and token. */
function draw() {
  const canvas = byId("map");
  canvas.width = read.tokens.length;
  canvas.height = order.length;
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  order.forEach((unit, row) => {
    read.units[unit].forEach((value, column) => {
      const at = 4 * (row * canvas.width + column);
      const [r, g, b] = value < 0 ? COLD : WARM;
      image.data.set([r, g, b, Math.min(Math.abs(value), 1) * 255], at);
    });
  });
  context.putImageData(image, 0, 0);
  canvas.style.height = `${Math.min(order.length * 2, 480)}px`;
  byId("map-figure").hidden = false;
}
