// Requests to the server, and elements of the page.

let key = "";

/** Set the key of all later requests. */
export function useKey(given) {
  key = given;
}

/** An answer that is an error, with its status. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function send(path, body, signal) {
  const headers = {};
  if (body) headers["Content-Type"] = "application/json";
  if (key) headers.Authorization = `Bearer ${key}`;
  const options = { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body), signal };
  const response = await fetch(path, options);
  if (response.ok) return response;
  const text = await response.text();
  let message = text;
  try {
    message = JSON.parse(text).error.message;
  } catch {
    // The answer comes from something else than the server, and is shown as it is.
  }
  throw new Refused(response.status, message);
}

/** The object that a route answers with. */
export async function ask(path, body) {
  return (await send(path, body)).json();
}

/** The objects of a stream, as they come. */
export async function* stream(path, body, signal) {
  const response = await send(path, body, signal);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    held += value;
    const events = held.split("\n\n");
    held = events.pop();
    for (const event of events) {
      const data = event.replace(/^data: /, "");
      if (data === "[DONE]") return;
      const object = JSON.parse(data);
      if (object.error) throw new Refused(200, object.error.message);
      yield object;
    }
  }
}

export const byId = (id) => document.getElementById(id);

/** A new element. Children that are strings become text. */
export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

/** A new element of a drawing. */
export function drawn(name, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

/** A row with a name, a bar and a percentage. */
export function bar(kind, name, share) {
  const length = element("i");
  length.style.setProperty("--p", share);
  const percent = element("span", {}, `${(share * 100).toFixed(1)}%`);
  return element(kind, { className: "bar" }, element("code", {}, visible(name)), length, percent);
}

/** A token with its blanks made visible. */
export function visible(token) {
  return token.replaceAll("\n", "↵").replaceAll("\t", "⇥").replaceAll(" ", "␣");
}

/** Show an error, or none. */
export function showProblem(error) {
  byId("problem").textContent = error ? error.message : "";
  if (error?.status === 401) {
    byId("key-form").hidden = false;
    byId("key").focus();
  }
}
