// The pane "Runs": curves of the runs under a folder, live, and the settings in which they differ.

import { ask, byId, drawn, element, showProblem } from "./api.js";

const LOOK = 2000;
const [WIDTH, HEIGHT, MARGIN] = [760, 320, 48];

let runs = [];
/** Whether the folder has more runs than are sent. */
let truncated = false;
/** The names of the runs that are not drawn. */
const hidden = new Set();
let timer = null;
/** The name of the run whose text is shown, and its newest step at the time of that text. */
let sampled = { name: null, step: 0 };

/** Start the pane. */
export function startRuns() {
  for (const id of ["figure", "log-scale"]) byId(id).addEventListener("change", show);
  byId("smoothing").addEventListener("input", show);
}

/** Look at the runs as long as the pane is shown. */
export function runsShown(shown) {
  clearInterval(timer);
  timer = shown ? setInterval(look, LOOK) : null;
  if (shown) look();
}

async function look() {
  try {
    const found = await ask("/v1/runs");
    if (found.truncated === truncated && JSON.stringify(found.data) === JSON.stringify(runs)) return;
    [runs, truncated] = [found.data, found.truncated];
  } catch (error) {
    clearInterval(timer);
    showProblem(error);
    return;
  }
  const names = new Set(runs.flatMap((run) => run.reports.flatMap((report) => Object.keys(report))));
  for (const name of ["step", "epoch", "split", "seconds"]) names.delete(name);
  const before = byId("figure").value;
  byId("figure").replaceChildren(...[...names].map((name) => element("option", { value: name }, name)));
  byId("figure").value = names.has(before) ? before : "loss";
  // The switches are made anew; the keyboard stays where it was.
  const focused = document.activeElement?.dataset.run;
  byId("run-list").replaceChildren(...runs.map(toggle));
  if (focused) byId("run-list").querySelector(`[data-run="${CSS.escape(focused)}"]`)?.focus();
  show();
  const run = runs.find(({ name }) => name === sampled.name);
  if (run && newestStep(run) !== sampled.step) sample(run);
}

/** Show a text by the newest checkpoint of a run. It is asked for again whenever the run has reported. */
async function sample(run) {
  sampled = { name: run.name, step: newestStep(run) };
  try {
    const { text } = await ask(`/v1/runs/sample?run=${encodeURIComponent(run.name)}`);
    if (sampled.name !== run.name) return;
    byId("sample").querySelector("figcaption").textContent = `${run.name} at step ${newestStep(run)} writes:`;
    byId("sample").querySelector("pre").textContent = text;
    byId("sample").hidden = false;
  } catch (error) {
    showProblem(error);
  }
}

const newestStep = (run) => run.reports.at(-1)?.step ?? 0;

const colour = (at) => `hsl(${(at * 137) % 360} 60% 50%)`;

/** The switch of a run. */
function toggle(run, at) {
  const box = element("input", { type: "checkbox", checked: !hidden.has(run.name) });
  box.dataset.run = run.name;
  box.addEventListener("change", () => {
    hidden[box.checked ? "delete" : "add"](run.name);
    show();
  });
  const mark = element("i");
  mark.style.background = colour(at);
  const last = run.reports.filter((report) => report.split === "valid").at(-1) ?? run.reports.at(-1);
  const state = last ? ` step ${last.step}, ${last.split} loss ${last.loss?.toFixed(4)}` : "";
  const label = element("label", {}, box, mark, run.name, element("small", {}, state));
  if (!run.writes) return element("li", {}, label);
  const button = element("button", { type: "button", ariaLabel: `Text of ${run.name}` }, "Text");
  button.addEventListener("click", () => sample(run));
  return element("li", {}, label, button);
}

/** An exponential mean, as TensorBoard has it, from the first value on. */
function smoothed(values, weight) {
  let [mean, total] = [0, 0];
  return values.map((value) => {
    mean = mean * weight + value * (1 - weight);
    total = total * weight + 1 - weight;
    return mean / total;
  });
}

/** The curves of the runs that are drawn: for each split, steps and values. */
function curves(figure, weight) {
  return runs.flatMap((run, at) => {
    if (hidden.has(run.name)) return [];
    return ["train", "valid"].flatMap((split) => {
      const reports = run.reports.filter((report) => report.split === split && Number.isFinite(report[figure]));
      if (reports.length === 0) return [];
      const values = smoothed(reports.map((report) => report[figure]), split === "train" ? weight : 0);
      return [{ run: run.name, at, split, steps: reports.map((report) => report.step), values }];
    });
  });
}

function show() {
  const more = truncated ? ", and more in the folder" : "";
  byId("runs-status").textContent = `${runs.length} runs${more}; solid: valid, thin: train`;
  const figure = byId("figure").value;
  const log = byId("log-scale").checked;
  const scaled = (value) => (log ? Math.log(Math.max(value, Number.MIN_VALUE)) : value);
  const lines = curves(figure, Number(byId("smoothing").value));
  const values = lines.flatMap((line) => line.values);
  const chart = drawn("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${figure} by step` });
  if (values.length > 0) {
    const low = values.reduce((a, b) => Math.min(a, b));
    const high = values.reduce((a, b) => Math.max(a, b));
    const last = Math.max(...lines.map((line) => line.steps.at(-1)), 1);
    const range = scaled(high) - scaled(low) || 1;
    const x = (step) => MARGIN + (step / last) * (WIDTH - MARGIN - 12);
    const y = (value) => HEIGHT - 28 - ((scaled(value) - scaled(low)) / range) * (HEIGHT - 48);
    for (const line of lines) {
      const points = line.steps.map((step, at) => `${x(step).toFixed(1)},${y(line.values[at]).toFixed(1)}`);
      const curve = drawn("polyline", { class: `curve ${line.split}`, points: points.join(" ") });
      curve.style.stroke = colour(line.at);
      curve.append(drawn("title", {}, `${line.run}, ${line.split}: ${line.values.at(-1).toPrecision(5)}`));
      chart.append(curve);
    }
    chart.append(
      drawn("text", { x: 0, y: y(high) + 4 }, high.toPrecision(4)),
      drawn("text", { x: 0, y: y(low) + 4 }, low.toPrecision(4)),
      drawn("text", { x: WIDTH - 12, y: HEIGHT - 6, "text-anchor": "end" }, `step ${last}`),
    );
  }
  byId("chart").replaceChildren(chart);
  showSettings();
}

/** A table of the settings that are not the same in all runs that are drawn. */
function showSettings() {
  const compared = runs.filter((run) => !hidden.has(run.name));
  const names = [...new Set(compared.flatMap((run) => Object.keys(run.settings)))];
  const value = (run, name) => (name in run.settings ? JSON.stringify(run.settings[name]) : "");
  const different = names.filter((name) => new Set(compared.map((run) => value(run, name))).size > 1);
  const header = (text, scope) => element("th", { scope }, text);
  const head = element("tr", {}, header("setting", "col"), ...compared.map((run) => header(run.name, "col")));
  const rows = different.map((name) => {
    const cells = compared.map((run) => element("td", {}, value(run, name)));
    return element("tr", {}, header(name, "row"), ...cells);
  });
  byId("settings").replaceChildren(...(different.length > 0 ? [head, ...rows] : []));
}
