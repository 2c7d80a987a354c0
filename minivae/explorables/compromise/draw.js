import { axes, circle, explorable, line, number, path, span, text, through } from "../kit/kit.js";
import { normal } from "../kit/numerics.js";
import { ITEMS, compute, gap, gapAt, pull } from "./math.js";

const FAR = 8;
const clamp = (v) => Math.max(0, Math.min(FAR, v));
const tidy = (v) => Math.round(v * 20) / 20;
const at = span(0, FAR, 81);
const gaps = { of: "", list: [] };

const J = (t, s) => gap(t, s.differ, s.heavy) + s.beta * pull(t);

/** Total cost over the distances of the grid. */
function curve(s) {
  const of = `${s.differ} ${s.heavy}`;
  if (gaps.of !== of) Object.assign(gaps, { of, list: at.map((t) => gap(t, s.differ, s.heavy)) });
  return at.map((t, i) => [t, gaps.list[i] + s.beta * pull(t)]);
}

/** The distance of the grid at which the total cost is least. */
const lowest = (heights) => heights.reduce((a, b) => (b[1] < a[1] ? b : a));

/** D for users with 20 and `heavy` items: no less than the difference of the two numbers, no more than their sum. */
const possible = (differ, heavy) => Math.max(Math.abs(heavy - ITEMS), Math.min(heavy + ITEMS, differ));

function paint(s, v, width) {
  const left = 44;
  const wide = width - left - 12;
  const z = span(-FAR / 2 - 2.6, FAR / 2 + 2.6, 131);
  const top = axes({ left, top: 30, width: wide, height: 130, x: [z[0], z[130]], y: [0, 0.56], xlabel: "place z in latent space", yticks: 0 });
  const bell = (mean) => through(z.map((x) => [top.X(x), top.Y(normal(x, mean))]));
  const area = through([[top.X(z[0]), top.bottom], ...z.map((x) => [top.X(x), top.Y(gapAt(x, s.t, s.differ, s.heavy) / (0.6 * (ITEMS + s.heavy)))]), [top.X(z[130]), top.bottom]], true);
  let svg = text("name", left, 16, "filled: what sharing costs at each place");
  svg += path("f mix a6", area) + path("s mix", area) + top.svg;
  svg += path("s u thick", bell(-s.t / 2)) + path("s v thick", bell(s.t / 2));
  const high = top.Y(0.4) - 8;
  svg += text("u", top.X(-s.t / 2) - 8, high, "u", "end") + text("v", top.X(s.t / 2) + 8, high, "v");

  const heights = curve(s);
  const most = Math.max(...heights.map(([, h]) => h), 1);
  const [best, least] = lowest(heights);
  const room = Math.max(most - least, 0.5);
  const low = axes({ left, top: 244, width: wide, height: 190, x: [0, FAR], y: [Math.max(0, least - 0.35 * room), most + 0.12 * room], xlabel: "distance t of the two users, in spreads", ylabel: "total cost: gap + β · KL (nats)", xticks: 8 });
  const hill = heights.map(([t, h]) => [low.X(t), low.Y(h)]);
  svg += path("f ink a1", through([[low.X(0), low.bottom], ...hill, [low.right, low.bottom]], true)) + low.svg + path("s ink thick", through(hill));
  const bottom = low.Y(J(best, s));
  const narrow = best < 1 ? "start" : best > FAR - 1.5 ? "end" : "middle";
  svg += line("good dash", low.X(best), bottom, low.X(best), low.bottom);
  svg += text("good", low.X(best) + (narrow === "start" ? 8 : 0), low.bottom - 10, best === 0 ? (s.differ + s.beta === 0 ? "level: nothing costs" : "lowest: merged") : `lowest: ${number(best, 1)} ${best === FAR ? "or more " : ""}apart`, narrow);
  svg += circle("f mix", low.X(s.t), low.Y(v.total) - 9, 9);
  return { height: 484, svg, view: { top, low } };
}

/** Downhill in small steps, as a ball in honey: where it comes to rest, J is least nearby. */
function roll(state, update) {
  if (state.t === 0 && J(0.1, state) < J(0, state)) update({ t: 0.05 }); // on the very top a ball would lie still
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const push = () => {
    const h = 1e-4;
    const slope = (J(state.t + h, state) - J(Math.abs(state.t - h), state)) / (2 * h);
    const next = clamp(state.t - Math.max(-0.12, Math.min(0.12, 0.12 * slope)));
    const done = Math.abs(next - state.t) < 2e-3;
    update({ t: done ? tidy(next) : next });
    return !done;
  };
  if (still) {
    for (let k = 0; k < 500 && push(); k++);
    return;
  }
  let frames = 0;
  const frame = () => push() && frames++ < 500 && requestAnimationFrame(frame);
  frame();
}

explorable({
  start: { t: 2, differ: 4, heavy: 20, beta: 3 },
  compute,
  controls: [
    { key: "differ", label: "items that only one of them has, D", min: 0, max: 100, step: 2, text: String, also: (d, s) => ({ differ: possible(d, s.heavy) }) },
    { key: "heavy", label: "items of v (u has 20)", min: 4, max: 80, step: 2, text: String, also: (n, s) => ({ differ: possible(s.differ, n) }) },
    { key: "beta", label: "weight of the KL term, β", min: 0, max: 10, step: 0.25 },
    { key: "t", label: "distance, t", min: 0, max: FAR, step: 0.05 },
  ],
  buttons: [{ words: "Let the ball roll", run: roll }],
  handles: [
    {
      name: "user v, and u on the other side",
      colour: "v",
      at: (s, p) => [p.top.X(s.t / 2), p.top.Y(normal(0))],
      move: (s, [x], p) => ({ t: tidy(clamp(2 * p.top.toX(x))) }),
      key: (s, dx) => ({ t: tidy(clamp(s.t + 0.1 * dx)) }),
      words: (s) => `${number(s.t)} spreads apart`,
    },
  ],
  paint,
  numbers: [
    { key: "gap", label: "compromise gap (filled area), nats", text: (v) => number(v.gap) },
    { key: "share", label: "… as a share of the gap at t = 0", text: (v) => `${number(v.share)} of ${number(v.full)} nats` },
    { key: "pull", label: "price of being apart, β · KL to the prior", text: (v) => number(v.pull) },
    { key: "total", label: "total cost", text: (v) => number(v.total) },
    { key: "threshold", label: "β above which one place is stable", text: (v) => number(v.threshold) },
  ],
  reading: (s, v) => {
    const equal = s.heavy === ITEMS;
    const above = s.beta > v.threshold;
    const because = equal
      ? `D = ${s.differ} is ${above || v.border ? "at most" : "more than"} 2β = ${number(2 * s.beta, 1)}`
      : `β = ${number(s.beta)} is ${v.border ? "on the border" : `${above ? "more" : "less"} than ${number(v.threshold)}`}`;
    const [best] = lowest(curve(s));
    if (s.differ === 0 && s.beta === 0) return `${because}, and nothing pulls: every distance costs the same, nothing.`;
    if (v.border ? best > 0 : !above) return `${because}: one place for both costs too much. They <b class="bad">part</b>.`;
    if (best > 0) return `${because}: one place for both is stable, yet ${number(best, 1)} spreads apart costs less. Where the ball stops <b class="bad">depends on where it starts</b>.`;
    return `${because}: ${equal ? "" : "on this curve "}cheapest is one place for both. They <b class="good">merge</b>.`;
  },
});
