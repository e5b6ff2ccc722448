// The pane "Write": a text that grows, its tokens shaded by their probability.

import { bar, byId, element, showProblem, stream, visible } from "./api.js";

const ALTERNATIVES = 10;
const BLANKS = { " ": "space", "\n": "line end", "\t": "tab" };
const SLIDERS = ["max_tokens", "temperature", "top_p", "min_p", "repeat_penalty"];

/** The prompt of the text that is shown, and its tokens: text, logprob, alternatives. */
let prompt = "";
let tokens = [];
let running = null;
let chosen;

/** Start the pane; `model` returns the chosen model. */
export function startWrite(model) {
  chosen = model;
  for (const id of SLIDERS) {
    const slider = byId(id);
    slider.addEventListener("input", () => {
      slider.parentElement.querySelector("output").textContent = slider.value;
    });
  }
  byId("write-form").addEventListener("submit", (event) => {
    event.preventDefault();
    write(byId("prompt").value);
  });
  byId("stop").addEventListener("click", () => running?.abort());
  byId("text").addEventListener("click", (event) => open(event.target.closest(".token")));
  byId("text").addEventListener("keydown", moved);
}

function request() {
  const fields = Object.fromEntries(SLIDERS.map((id) => [id, Number(byId(id).value)]));
  const seed = byId("seed").value.trim();
  if (seed) fields.seed = Number(seed);
  return { ...fields, model: chosen().id, logprobs: ALTERNATIVES, stream: true };
}

/** Write a text after a prompt. */
async function write(given) {
  running?.abort();
  const own = new AbortController();
  running = own;
  prompt = given;
  tokens = [];
  const shown = element("span", { className: "prompt" }, prompt);
  byId("text").replaceChildren(shown);
  byId("alternatives").hidden = true;
  byId("stop").disabled = false;
  showProblem();
  const began = performance.now();
  let seed;
  try {
    for await (const object of stream("/v1/completions", { ...request(), prompt }, own.signal)) {
      seed = object.seed;
      add(object.choices[0]);
      report(began, seed);
    }
  } catch (error) {
    if (error.name !== "AbortError") showProblem(error);
  }
  if (running === own) {
    running = null;
    byId("stop").disabled = true;
    report(began, seed, true);
  }
}

function add(choice) {
  const { tokens: names = [], token_logprobs: logprobs, top_logprobs: tops } = choice.logprobs ?? {};
  for (const [at, text] of names.entries()) {
    tokens.push({ text, logprob: logprobs[at], alternatives: Object.entries(tops[at]) });
    const span = element("span", { className: "token", tabIndex: tokens.length === 1 ? 0 : -1 }, text);
    span.setAttribute("role", "button");
    // Blanks have no name that could be spoken.
    if (!text.trim()) span.setAttribute("aria-label", BLANKS[text] ?? named(text));
    const probability = Math.exp(logprobs[at]);
    span.style.setProperty("--p", probability);
    span.title = `${named(text)}: ${(probability * 100).toFixed(1)}%`;
    span.dataset.at = tokens.length - 1;
    byId("text").append(span);
  }
  if (names.length === 0) byId("text").append(choice.text);
}

function report(began, seed, ended) {
  const seconds = (performance.now() - began) / 1000;
  const bits = tokens.reduce((sum, token) => sum - token.logprob / Math.LN2, 0) / Math.max(tokens.length, 1);
  // A screen reader is told at the end only.
  byId("write-status").setAttribute("aria-live", ended ? "polite" : "off");
  byId("write-status").textContent =
    `${tokens.length} tokens, ${Math.round(tokens.length / seconds)} a second, ` +
    `${bits.toFixed(2)} bits a token${seed === undefined ? "" : `, seed ${seed}`}`;
}

/** Move between tokens by keyboard, and open one. */
function moved(event) {
  const span = event.target.closest(".token");
  if (!span) return;
  if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    open(span);
    return;
  }
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  const all = byId("text").querySelectorAll(".token");
  const next = step && all[Number(span.dataset.at) + step];
  if (!next) return;
  event.preventDefault();
  span.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
}

/** Show the alternatives to a token. */
function open(span) {
  if (!span) return;
  for (const other of byId("text").querySelectorAll("[aria-expanded]")) other.removeAttribute("aria-expanded");
  span.setAttribute("aria-expanded", "true");
  const at = Number(span.dataset.at);
  const token = tokens[at];
  const rows = token.alternatives
    .sort((a, b) => b[1] - a[1])
    .map(([name, logprob]) => {
      const row = bar("button", name, Math.exp(logprob));
      row.type = "button";
      row.setAttribute("aria-label", `Continue with ${visible(name)}, ${(Math.exp(logprob) * 100).toFixed(1)} percent`);
      row.addEventListener("click", () => write(before(at) + name));
      return row;
    });
  const title = element("h2", {}, `Instead of “${named(token.text)}”: choose one to continue from`);
  const panel = byId("alternatives");
  panel.replaceChildren(title, ...rows);
  panel.hidden = false;
  rows[0]?.focus();
  panel.scrollIntoView({ block: "nearest" });
}

function before(at) {
  return prompt + tokens.slice(0, at).map((token) => token.text).join("");
}

/** The name of a token. The text of a part of a character comes with the token that completes it. */
function named(text) {
  return text ? visible(text) : "part of a character";
}
