// The frame of every explorable: handles, numbers and prediction around one picture that is drawn anew at each change.

/** A number as people read it: a true minus sign, `digits` places, "∞" and "–" where it is none. */
export function number(x, digits = 2) {
  if (Number.isNaN(x)) return "–";
  if (!Number.isFinite(x)) return x > 0 ? "∞" : "−∞";
  const text = Math.abs(x).toFixed(digits);
  return x < 0 && Number(text) !== 0 ? `−${text}` : text;
}

// ---- shapes: strings of SVG; the class names a colour (u, v, good, bad, mix, ink, soft) and a paint (f, s) ----

const round = (v) => (typeof v === "number" ? Math.round(v * 10) / 10 : v);

export function shape(tag, cls, attributes, inner = "") {
  const list = Object.entries(attributes).map(([k, v]) => ` ${k}="${round(v)}"`);
  return `<${tag} class="${cls}"${list.join("")}>${inner}</${tag}>`;
}
export const line = (cls, x1, y1, x2, y2) => shape("line", `s ${cls}`, { x1, y1, x2, y2 });
export const circle = (cls, cx, cy, r) => shape("circle", cls, { cx, cy, r });
export const box = (cls, x, y, width, height) =>
  shape("rect", `f ${cls}`, { x, y, width: Math.max(0, width), height: Math.max(0, height) });
export const text = (cls, x, y, words, anchor = "start") =>
  shape("text", cls, { x, y, "text-anchor": anchor }, words);
export const path = (cls, d) => shape("path", cls, { d });

/** A line through points [[x, y], …] in pixels; closed on request. */
export const through = (points, close = false) =>
  `M${points.map(([x, y]) => `${round(x)} ${round(y)}`).join("L")}${close ? "Z" : ""}`;

export function arrow(cls, x1, y1, x2, y2, size = 8) {
  const angle = Math.atan2(y2 - y1, x2 - x1);
  const wing = (turn) => [x2 - size * Math.cos(angle + turn), y2 - size * Math.sin(angle + turn)];
  const length = Math.hypot(x2 - x1, y2 - y1);
  const head = length > 2 ? path(`f ${cls}`, through([[x2, y2], wing(0.42), wing(-0.42)], true)) : "";
  return line(cls, x1, y1, x2, y2) + head;
}

/** n points from a to b, both included. */
export const span = (a, b, n) => Array.from({ length: n }, (_, i) => a + ((b - a) * i) / (n - 1));

function ticks([low, high], wanted) {
  const raw = (high - low) / wanted;
  const unit = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * unit).find((s) => s >= raw * 0.999);
  const list = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) list.push(k * step);
  return [list, Math.max(0, -Math.floor(Math.log10(step) + 1e-9))];
}

/** Axes in a box of pixels: `X`, `Y` from data to pixels, `toX`, `toY` back, and their drawing. */
export function axes({ left, top, width, height, x, y, xlabel = "", ylabel = "", xticks = 5, yticks = 4 }) {
  const X = (v) => left + (width * (v - x[0])) / (x[1] - x[0]);
  const Y = (v) => top + height - (height * (v - y[0])) / (y[1] - y[0]);
  const toX = (p) => x[0] + ((p - left) * (x[1] - x[0])) / width;
  const toY = (p) => y[0] + ((top + height - p) * (y[1] - y[0])) / height;
  const bottom = top + height;
  let svg = line("axis", left, bottom, left + width, bottom);
  if (xticks) {
    const [at, digits] = ticks(x, xticks);
    for (const v of at) {
      svg += line("axis", X(v), bottom, X(v), bottom + 4) + text("tick", X(v), bottom + 17, number(v, digits), "middle");
    }
  }
  if (yticks) {
    const [at, digits] = ticks(y, yticks);
    for (const v of at) {
      svg += line("grid", left, Y(v), left + width, Y(v)) + text("tick", left - 6, Y(v) + 4, number(v, digits), "end");
    }
  }
  if (xlabel) svg += text("name", left + width / 2, bottom + (xticks ? 34 : 18), xlabel, "middle");
  if (ylabel) svg += text("name", left, top - 8, ylabel);
  return { X, Y, toX, toY, left, top, width, height, bottom, right: left + width, svg };
}

// ---- the frame ----

const NS = "http://www.w3.org/2000/svg";
const element = (tag, properties = {}, ...children) => {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
};

/**
 * Bring a page to life.
 *
 * start     state at the beginning
 * compute   state -> values, from the module without drawing
 * controls  [{key, label, min, max, step, text, log, also, seen}] sliders, or [{key, label, options: {value: words}}] choices
 *            `also(value, state)` gives what else changes with a slider
 * handles   [{name, at(state, view), move(state, point, view), key(state, dx, dy), words(state, values), colour, small, bare, seen}]
 *           a bare one has no dot of its own: `paint` draws the mark that it moves
 * buttons   [{words, run(state, update)}]
 * paint     (state, values, width) -> {height, svg, view}; `view` holds the axes that the handles need
 * numbers   [{key, label, text(values, state)}] with the first one large; `key` names the value shown
 * reading   (state, values) -> one sentence that says what is to be seen
 */
export function explorable({ start, compute, controls = [], handles = [], buttons = [], paint, numbers, reading }) {
  const state = { ...start };
  const find = (selector) => document.querySelector(selector);
  const figure = find(".picture");
  const svg = document.createElementNS(NS, "svg");
  const layer = document.createElementNS(NS, "g");
  let values, view;

  svg.setAttribute("role", "group");
  svg.setAttribute("aria-label", document.title);
  layer.setAttribute("aria-hidden", "true");
  svg.append(layer);
  figure.replaceChildren(svg);

  const inputs = controls.map((control) => control.options ? choice(control) : slider(control));
  find(".controls").append(...inputs.map((i) => i.node));
  if (buttons.length) {
    const row = element("p", { className: "buttons" });
    for (const { words, run } of buttons) {
      row.append(element("button", { type: "button", textContent: words, onclick: () => run(state, update) }));
    }
    find(".controls").append(row);
  }
  const shown = numbers.map(({ key, label }) => {
    const value = element("dd");
    value.dataset.key = key;
    find(".numbers").append(element("div", {}, element("dt", { innerHTML: label }), value));
    return value;
  });
  const grips = handles.map(grip);

  function slider({ key, label, min, max, step, text: words = (v) => number(v), log = false, also = () => ({}), seen = () => true }) {
    const [onto, from] = log ? [Math.log10, (x) => Number((10 ** x).toPrecision(3))] : [Number, Number];
    const input = element("input", { type: "range", min: onto(min), max: onto(max), step });
    const output = element("output");
    input.setAttribute("aria-label", label);
    input.addEventListener("input", () => {
      const value = from(Number(input.value));
      update({ [key]: value, ...also(value, state) });
    });
    const node = element("label", { className: "slider" }, element("span", { textContent: label }), output, input);
    const show = () => {
      node.hidden = !seen(state);
      input.value = onto(state[key]);
      output.textContent = words(state[key], state);
      input.setAttribute("aria-valuetext", output.textContent);
    };
    return { node, show };
  }

  function choice({ key, label, options }) {
    const set = element("fieldset", { className: "choice" }, element("legend", { textContent: label }));
    const radios = Object.entries(options).map(([value, words]) => {
      const radio = element("input", { type: "radio", name: key, value });
      radio.addEventListener("change", () => update({ [key]: value }));
      set.append(element("label", {}, radio, words));
      return radio;
    });
    return { node: set, show: () => radios.forEach((r) => (r.checked = r.value === state[key])) };
  }

  function grip({ name, at, move, key, words, colour = "ink", small = false, bare = false, seen = () => true }) {
    const node = document.createElementNS(NS, "g");
    const [reach, ring, dot] = small ? [11, 9, 6] : [20, 13, 8];
    node.innerHTML = `<circle class="reach" r="${reach}"/><circle class="ring" r="${ring}"/>${bare ? "" : `<circle class="f" r="${dot}"/>`}`;
    node.setAttribute("class", `handle ${bare ? "bare " : ""}${colour}`);
    node.setAttribute("tabindex", "0");
    node.setAttribute("role", "slider");
    node.setAttribute("aria-label", name);
    const point = (event) => {
      const frame = svg.getBoundingClientRect();
      return [event.clientX - frame.left, event.clientY - frame.top];
    };
    let offset = null;
    node.addEventListener("pointerdown", (event) => {
      const [x, y] = at(state, view);
      const [px, py] = point(event);
      offset = [px - x, py - y];
      node.setPointerCapture(event.pointerId);
      node.focus({ preventScroll: true });
      event.preventDefault();
    });
    node.addEventListener("pointermove", (event) => {
      if (!offset) return;
      const [px, py] = point(event);
      update(move(state, [px - offset[0], py - offset[1]], view));
    });
    for (const end of ["pointerup", "pointercancel"]) node.addEventListener(end, () => (offset = null));
    const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    node.addEventListener("keydown", (event) => {
      if (!(event.key in arrows)) return;
      event.preventDefault();
      update(key(state, ...arrows[event.key]));
    });
    svg.append(node);
    return () => {
      node.style.display = seen(state, view) ? "" : "none";
      const [x, y] = at(state, view);
      node.setAttribute("transform", `translate(${round(x)} ${round(y)})`);
      const said = words(state, values);
      node.setAttribute("aria-valuetext", said);
      node.setAttribute("aria-valuenow", String(parseFloat(said.replace("−", "-").replace(/^[^\d-]*/, "")) || 0));
    };
  }

  function update(change = {}) {
    Object.assign(state, change);
    values = compute(state);
    const width = Math.max(280, Math.floor(figure.clientWidth));
    const drawn = paint(state, values, width);
    view = drawn.view;
    svg.setAttribute("viewBox", `0 0 ${width} ${Math.ceil(drawn.height)}`);
    svg.setAttribute("width", width);
    svg.setAttribute("height", Math.ceil(drawn.height));
    layer.innerHTML = drawn.svg;
    for (const part of [...inputs.map((i) => i.show), ...grips]) part();
    numbers.forEach(({ key, text: words }, i) => {
      shown[i].textContent = words(values, state);
      shown[i].dataset.value = String(values[key]);
    });
    find(".reading").innerHTML = reading(state, values);
  }

  for (const button of document.querySelectorAll(".predict button")) {
    button.addEventListener("click", () => {
      for (const other of document.querySelectorAll(".predict button")) other.setAttribute("aria-pressed", other === button);
      find(".reply").textContent = button.dataset.reply;
    });
  }
  const theorem = find(".theorem");
  let open = false;
  addEventListener("beforeprint", () => ([open, theorem.open] = [theorem.open, true]));
  addEventListener("afterprint", () => (theorem.open = open));
  let before = 0;
  new ResizeObserver(() => {
    if (figure.clientWidth !== before) update();
    before = figure.clientWidth;
  }).observe(figure);
  update();
  inFrame();
  globalThis.explorable = { state, update, values: () => values, start };
}

/** In a notebook or a site: as tall as what it shows, and in the theme of the page around it. */
function inFrame() {
  const root = document.documentElement;
  try {
    const frame = globalThis.frameElement;
    if (!frame) return;
    const fit = () => (frame.style.height = `${Math.ceil(document.body.getBoundingClientRect().height)}px`);
    new ResizeObserver(fit).observe(document.body);
    const outer = globalThis.parent.document;
    const theme = () => {
      const jupyter = outer.body.dataset.jpThemeLight;
      const asked = outer.documentElement.dataset.theme || (jupyter && (jupyter === "true" ? "light" : "dark"));
      if (asked === "light" || asked === "dark") root.dataset.theme = asked;
      else delete root.dataset.theme;
    };
    theme();
    const watch = new MutationObserver(theme);
    watch.observe(outer.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    watch.observe(outer.body, { attributes: true, attributeFilter: ["data-jp-theme-light"] });
  } catch {
    // a page of another origin: height and theme stay as they are
  }
}
