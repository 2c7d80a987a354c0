import { axes, circle, explorable, number, path, shape, text, through } from "../kit/kit.js";
import { community, compute, place, stops } from "./math.js";

const clamp = (v, a, b) => Math.max(a, Math.min(b, v));
const HALF = [1.7, 1.7, 4.4, 6.4]; // of the window, larger as the users part

/** The mark of a user: one shape for each community. */
function mark(kind, x, y, r) {
  if (kind === 0) return (cls) => circle(cls, x, y, r);
  const corners = kind === 1 ? [[-1, -1], [1, -1], [1, 1], [-1, 1]] : [[0, -1.4], [1.4, 0], [0, 1.4], [-1.4, 0]];
  return (cls) => path(cls, through(corners.map(([a, b]) => [x + a * r * 0.9, y + b * r * 0.9]), true));
}

function paint(s, v, width) {
  const height = Math.min(460, width);
  const near = s.view === "near";
  const half = near ? 1.35 : HALF[s.stop];
  const wide = (half * width) / height;
  const [mx, my] = near ? place(s.stop, s.user) : [0, 0];
  const a = axes({ left: 0, top: 4, width, height, x: [mx - wide, mx + wide], y: [my - half, my + half], xticks: 0, yticks: 0 });
  const unit = height / (2 * half);
  const [ux, uy] = [a.X(v.means[s.user][0]), a.Y(v.means[s.user][1])];
  const frame = [mx - wide, mx + wide, my - half, my + half];
  let inner = circle("f good a1", ux, uy, v.typical * unit) + circle("s soft dash", ux, uy, v.reach * unit);
  if (v.typical > 0) inner += circle("s good thick", ux, uy, v.typical * unit);
  const others = [...v.means.keys()].filter((w) => w !== s.user);
  for (const w of others.sort((p, q) => v.certified[p] - v.certified[q])) { // a ring is never around a covered mark
    const [x, y] = v.means[w];
    const draw = mark(community[w], a.X(x), a.Y(y), 5.5);
    inner += draw(`f ${v.exact[w] > 0 ? "good" : "bad"}`);
    if (v.certified[w]) inner += mark(community[w], a.X(x), a.Y(y), 9)("s ink thick");
  }
  let svg = shape("clipPath", "", { id: "plane" }, shape("rect", "", { x: 0, y: 4, width, height }));
  svg += shape("g", "", { "clip-path": "url(#plane)" }, inner) + shape("rect", "s rule", { x: 0.5, y: 4, width: width - 1, height });
  svg += text("tick", 8, height - 6, `${number(2 * wide, 1)} units wide; shapes are communities`);
  let y = height + 26;
  svg += circle("f good", 8, y - 4, 6) + text("", 20, y, "a step on this user helps u");
  svg += circle("f bad", width < 560 ? 8 : 238, width < 560 ? y + 19 : y - 4, 6) + text("", width < 560 ? 20 : 250, width < 560 ? y + 23 : y, "… hurts u");
  svg += circle("s ink thick", width < 560 ? 128 : 348, width < 560 ? y + 19 : y - 4, 8) + text("", width < 560 ? 142 : 362, width < 560 ? y + 23 : y, "within the radius (K seen)");
  y += width < 560 ? 46 : 23;
  svg += shape("line", "s good thick", { x1: 0, y1: y - 4, x2: 16, y2: y - 4 }) + text("", 22, y, "sharing radius for a typical mate");
  y += 22;
  svg += shape("line", "s soft dash", { x1: 0, y1: y - 4, x2: 16, y2: y - 4 }) + text("", 22, y, "… if contents were equal, ‖g‖ / K");
  return { height: y + 10, svg, view: { a, frame } };
}

const where = (s, w) => s.moved[w] ?? place(s.stop, w);
const move = (s, w, x, y) => ({ moved: { ...s.moved, [w]: [x, y] } });
const WORDS = ["round", "square", "pointed"];

/** The handle of user w: a dot for u, for the others the mark that `paint` draws. */
const handle = (w, isU) => ({
  name: isU ? `user u, number ${w + 1}` : `user ${w + 1}, of the ${WORDS[community[w]]} community`,
  colour: isU ? "u" : "ink",
  small: !isU,
  bare: !isU,
  seen: (s, { frame: [left, right, low, high] }) => {
    const [x, y] = where(s, w);
    return (s.user === w) === isU && x >= left && x <= right && y >= low && y <= high;
  },
  at: (s, { a }) => [a.X(where(s, w)[0]), a.Y(where(s, w)[1])],
  move: (s, [x, y], { a, frame: [left, right, low, high] }) => move(s, w, clamp(a.toX(x), left, right), clamp(a.toY(y), low, high)),
  key: (s, dx, dy) => move(s, w, where(s, w)[0] + 0.1 * dx, where(s, w)[1] + 0.1 * dy),
  words: (s, v) => `at ${number(v.means[w][0])}, ${number(v.means[w][1])}${isU ? "" : v.exact[w] > 0 ? ", helps u" : ", hurts u"}${v.certified[w] ? ", within the radius" : ""}`,
});

explorable({
  start: { stop: 0, user: 0, moved: {}, view: "all" },
  compute,
  controls: [
    { key: "stop", label: "training", min: 0, max: stops.length - 1, step: 1, text: (k) => `${stops[k]} steps`, also: () => ({ moved: {} }) },
    { key: "user", label: "user u", min: 0, max: 23, step: 1, text: (u) => `${u + 1} of 24` },
    { key: "view", label: "Show", options: { all: "the whole plane", near: "the neighbourhood of u" } },
  ],
  buttons: [{ words: "Put everybody back", run: (s, update) => update({ moved: {} }) }],
  handles: [false, true].flatMap((isU) => community.map((_, w) => handle(w, isU))),
  paint,
  numbers: [
    { key: "sure", label: "users within the sharing radius", text: (v) => `${v.sure} of 23` },
    { key: "helped", label: "users whose step helps u", text: (v) => `${v.helped} of 23` },
    { key: "typical", label: "sharing radius, typical mate", text: (v) => number(v.typical) },
    { key: "reach", label: "‖g‖ / K", text: (v) => number(v.reach) },
    { key: "norm", label: "‖g‖", text: (v) => number(v.norm, 3) },
    { key: "lipschitz", label: "K, measured", text: (v) => number(v.lipschitz, 3) },
  ],
  reading: (s, v) =>
    `After ${stops[s.stop]} steps, ${v.helped} of the 23 others help u; within the sharing radius are <b class="${v.sure ? "good" : "bad"}">${v.sure}</b>.` +
    (v.typical === 0 ? " For a typical mate the radius is 0: the content mismatch is not less than the gradient of u." : ""),
});
