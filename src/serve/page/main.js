// The page: its tabs, its models, and the panes.

import { ask, byId, element, showProblem, useKey } from "./api.js";
import { startInspect } from "./inspect.js";
import { modelChosen, startPredict } from "./predict.js";
import { startWrite } from "./write.js";

const tabs = [...byId("tabs").children];
let models = [];

function chosen() {
  return models.find((model) => model.id === byId("model").value);
}

/** Whether a pane can use a model. */
function suits(tab, model) {
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
  if (model && !suits(tab, chosen())) {
    byId("model").value = model.id;
  }
  modelChosen(chosen());
}

for (const [at, tab] of tabs.entries()) {
  tab.addEventListener("click", () => show(tab));
  tab.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = tabs[(at + step + tabs.length) % tabs.length];
    next.focus();
    show(next);
  });
}

async function load() {
  try {
    models = (await ask("/props")).models;
    byId("key-form").hidden = true;
    showProblem();
  } catch (error) {
    showProblem(error);
    return;
  }
  const option = (model) => element("option", { value: model.id }, `${model.id} (${model.task})`);
  byId("model").replaceChildren(...models.map(option));
  show(tabs.find((tab) => suits(tab, models[0])));
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
load();
