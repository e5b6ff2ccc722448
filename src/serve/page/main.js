// The page: its tabs, its models, and the panes.

import { ask, byId, element, showProblem, useKey } from "./api.js";
import { startInspect } from "./inspect.js";
import { modelChosen, startPredict } from "./predict.js";
import { runsShown, startRuns } from "./runs.js";
import { startWrite } from "./write.js";

const tabs = [...byId("tabs").children];
let models = [];

function chosen() {
  return models.find((model) => model.id === byId("model").value);
}

/** Whether a pane can use a model. */
function suits(tab, model) {
  if (tab.id === "tab-runs") return true;
  return (tab.id === "tab-predict") === (model.task !== "lm");
}

function show(tab) {
  for (const other of tabs) {
    const selected = other === tab;
    other.setAttribute("aria-selected", selected);
    other.tabIndex = selected ? 0 : -1;
    byId(other.getAttribute("aria-controls")).hidden = !selected;
  }
  const model = models.find((model) => suits(tab, model));
  if (model && chosen() && !suits(tab, chosen())) {
    byId("model").value = model.id;
  }
  modelChosen(chosen());
  runsShown(tab.id === "tab-runs");
}

for (const tab of tabs) {
  tab.addEventListener("click", () => show(tab));
  tab.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const shown = tabs.filter((tab) => !tab.hidden);
    const next = shown[(shown.indexOf(tab) + step + shown.length) % shown.length];
    next.focus();
    show(next);
  });
}

async function load() {
  try {
    const props = await ask("/props");
    models = props.models;
    for (const tab of tabs) tab.hidden = !models.some((model) => suits(tab, model));
    byId("tab-runs").hidden = !props.runs;
    byId("key-form").hidden = true;
    showProblem();
  } catch (error) {
    showProblem(error);
    return;
  }
  const option = (model) => element("option", { value: model.id }, `${model.id} (${model.task})`);
  byId("model").replaceChildren(...models.map(option));
  show(tabs.find((tab) => !tab.hidden && (models.length === 0 || suits(tab, models[0]))));
}

byId("model").addEventListener("change", () => {
  const selected = tabs.find((tab) => tab.getAttribute("aria-selected") === "true");
  show(suits(selected, chosen()) ? selected : tabs.find((tab) => suits(tab, chosen())));
});
byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  useKey(byId("key").value);
  load();
});

startWrite(chosen);
startInspect(chosen);
startPredict(chosen);
startRuns();
load();
