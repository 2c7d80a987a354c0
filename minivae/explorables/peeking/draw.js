import { axes, circle, explorable, line, number, path, shape, text, through } from "../kit/kit.js";
import { compute, EVENINGS } from "./math.js";

const DRAWN = 30;
const clamp = (v, a, b) => Math.max(a, Math.min(b, v));

function paint(s, v, width) {
  const left = 40;
  const wide = width - left - 10;
  const a = axes({ left, top: 42, width: wide, height: 220, x: [0.5, EVENINGS + 0.5], y: [-4.6, 4.6], xlabel: "evening", ylabel: "", xticks: 6, yticks: 5 });
  let svg = text("name", 0, 14, `effect / standard error in ${DRAWN} of 400 experiments`) + a.svg;
  svg += text("bad", 0, 32, "red: has been beyond ±1.96");
  let inner = "";
  for (const alarmed of [false, true]) {
    for (const z of v.z.slice(0, DRAWN)) {
      const seen = z.slice(0, s.evening);
      if (seen.some((x) => Math.abs(x) > 1.96) !== alarmed) continue;
      const points = seen.map((x, k) => [a.X(k + 1), a.Y(x)]);
      inner += path(alarmed ? "s bad a6" : "s soft a3", through(points));
      if (s.evening === 1) inner += circle(alarmed ? "f bad" : "f soft a6", ...points[0], 2.5);
    }
  }
  for (const sign of [-1, 1]) {
    inner += line("ink dash", left, a.Y(1.96 * sign), a.right, a.Y(1.96 * sign));
    inner += path("s good thick", through(v.limits.map((x, k) => [a.X(k + 1), a.Y(x * sign)])));
  }
  svg += shape("clipPath", "", { id: "frame" }, shape("rect", "", { x: left, y: a.top, width: wide, height: a.height }));
  svg += shape("g", "", { "clip-path": "url(#frame)" }, inner);
  const beyond = v.limits[20] > 4.6;
  svg += text("good", a.X(21), beyond ? a.top + 14 : a.Y(v.limits[20]) - 7, beyond ? "limit: farther out" : "always-valid limit", "middle");
  svg += text("strong", a.X(21), a.Y(-1.96) + 16, "±1.96", "middle");
  const x = a.X(s.evening);
  svg += line("warm", x, 42, x, a.bottom);

  const b = axes({ left, top: 356, width: wide, height: 150, x: [0.5, EVENINGS + 0.5], y: [0, s.effect > 0 ? 1 : 0.45], xlabel: "evenings looked at", xticks: 6, yticks: 4 });
  svg += text("bad", 0, 338, "stop at the first p < .05") + text("good", 176, 338, "always-valid interval");
  svg += text("name", 0, 320, s.effect > 0 ? "share of experiments with an alarm (the effect is real)" : "share of experiments with a false alarm") + b.svg;
  svg += line("ink dash", left, b.Y(0.05), b.right, b.Y(0.05));
  const curve = (list) => through(list.map((p, k) => [b.X(k + 1), b.Y(p)]));
  svg += path("s bad thick", curve(v.peeks)) + path("s good thick", curve(v.valids));
  const end = b.X(s.evening);
  svg += circle("f bad", end, b.Y(v.peeking), 5) + circle("f good", end, b.Y(v.valid), 5);
  return { height: 550, svg, view: { a } };
}

const go = (evening) => ({ evening: clamp(Math.round(evening), 1, EVENINGS) });

explorable({
  start: { seed: 1, effect: 0, scale: 0.5, evening: 1 },
  compute,
  controls: [
    { key: "evening", label: "evenings so far", min: 1, max: EVENINGS, step: 1, text: String },
    { key: "scale", label: "effect that one hopes for, s", min: 0.1, max: 2, step: 0.1, text: (v) => number(v, 1) },
    { key: "effect", label: "true effect (0: A/A test)", min: 0, max: 1, step: 0.1, text: (v) => number(v, 1) },
  ],
  buttons: [
    { words: "Next evening", run: (state, update) => update(go(state.evening + 1)) },
    { words: "400 new experiments", run: (state, update) => update({ seed: state.seed + 1 }) },
  ],
  handles: [
    {
      name: "evening",
      colour: "warm",
      at: (s, { a }) => [a.X(s.evening), a.bottom],
      move: (s, [x], { a }) => go(a.toX(x)),
      key: (s, dx) => go(s.evening + dx),
      words: (s) => `evening ${s.evening}`,
    },
  ],
  paint,
  numbers: [
    { key: "peeking", label: "alarm on some evening, ±1.96", text: (v) => `${number(100 * v.peeking, 1)} %` },
    { key: "error", label: "… standard error (400 runs)", text: (v) => `${number(100 * v.error, 1)} %` },
    { key: "fixed", label: "alarm tonight, one look", text: (v) => `${number(100 * v.fixed, 1)} %` },
    { key: "valid", label: "alarm, always-valid interval", text: (v) => `${number(100 * v.valid, 1)} %` },
    { key: "limit", label: "always-valid limit tonight", text: (v) => number(v.limit) },
  ],
  reading: (s, v) => {
    const alarm = `After ${s.evening} ${s.evening === 1 ? "evening" : "evenings"}, ${number(100 * v.peeking, 1)} % of the experiments have once shown p &lt; .05`;
    if (s.effect > 0) return `${alarm}, ${number(100 * v.valid, 1)} % have left the always-valid interval. Here the effect is real: the price of always-valid looks is to wait longer.`;
    return `${alarm}, though nothing differs: ${s.evening === 1 ? "one look, 5 % but for chance" : `<b class="bad">${v.peeking > 0.05 ? "more" : "so far not more"} than the promised 5 %</b>`}. The always-valid interval was left by <b class="good">${number(100 * v.valid, 1)} %</b>.`;
  },
});
