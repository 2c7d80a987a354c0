import { axes, circle, explorable, line, number, path, span, text, through } from "../kit/kit.js";
import { normal } from "../kit/numerics.js";
import { compute, gap, gapAt, pull } from "./math.js";

const FAR = 8;
const clamp = (v) => Math.max(0, Math.min(FAR, v));
const tidy = (v) => Math.round(v * 20) / 20;
const at = span(0, FAR, 81);
const gaps = at.map((t) => gap(t, 1)); // the gap is proportional to D

const J = (t, s) => gap(t, s.differ) + s.beta * pull(t);

/** The lowest place of J on the grid. */
function rest(s) {
  const heights = at.map((t, i) => s.differ * gaps[i] + s.beta * pull(t));
  return at[heights.indexOf(Math.min(...heights))];
}

function paint(s, v, width) {
  const left = 44;
  const wide = width - left - 12;
  const z = span(-FAR / 2 - 2.6, FAR / 2 + 2.6, 181);
  const top = axes({ left, top: 30, width: wide, height: 130, x: [z[0], z[180]], y: [0, 0.56], xlabel: "place z in latent space", yticks: 0 });
  const bell = (mean) => through(z.map((x) => [top.X(x), top.Y(normal(x, mean))]));
  const area = through([[top.X(z[0]), top.bottom], ...z.map((x) => [top.X(x), top.Y(gapAt(x, s.t, s.differ) / 24)]), [top.X(z[180]), top.bottom]], true);
  let svg = text("name", left, 16, "filled: what sharing costs at each place");
  svg += path("f mix a6", area) + path("s mix", area) + top.svg;
  svg += path("s u thick", bell(-s.t / 2)) + path("s v thick", bell(s.t / 2));
  const high = top.Y(0.4) - 8;
  svg += text("u", top.X(-s.t / 2) - 8, high, "u", "end") + text("v", top.X(s.t / 2) + 8, high, "v");

  const heights = at.map((t, i) => [t, s.differ * gaps[i] + s.beta * pull(t)]);
  const most = Math.max(...heights.map(([, h]) => h), 1);
  const least = Math.min(...heights.map(([, h]) => h));
  const room = Math.max(most - least, 0.5);
  const low = axes({ left, top: 244, width: wide, height: 190, x: [0, FAR], y: [Math.max(0, least - 0.35 * room), most + 0.12 * room], xlabel: "distance t of the two users, in spreads", ylabel: "total cost: gap + β · KL (nats)", xticks: 8 });
  const curve = heights.map(([t, h]) => [low.X(t), low.Y(h)]);
  svg += path("f ink a1", through([[low.X(0), low.bottom], ...curve, [low.right, low.bottom]], true)) + low.svg + path("s ink thick", through(curve));
  const best = rest(s);
  const bottom = low.Y(J(best, s));
  const narrow = best < 1 ? "start" : best > FAR - 1.5 ? "end" : "middle";
  svg += line("good dash", low.X(best), bottom, low.X(best), low.bottom);
  svg += text("good", low.X(best) + (narrow === "start" ? 8 : 0), low.bottom - 10, best === 0 ? "lowest: merged" : `lowest: ${number(best, 1)} apart`, narrow);
  svg += circle("f mix", low.X(s.t), low.Y(v.total) - 9, 9);
  return { height: 484, svg, view: { top, low } };
}

/** Downhill in small steps, as a ball in honey: where it comes to rest, J is least nearby. */
function roll(state, update) {
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
  start: { t: 2, differ: 4, beta: 3 },
  compute,
  controls: [
    { key: "differ", label: "items that differ, D (of 20 each)", min: 0, max: 40, step: 2, text: String },
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
    { key: "share", label: "… as a share of the gap at t = 0", text: (v) => number(v.share) },
    { key: "pull", label: "price of being apart, β · KL", text: (v) => number(v.pull) },
    { key: "total", label: "total", text: (v) => number(v.total) },
    { key: "line", label: "2β", text: (v) => number(v.line, 1) },
  ],
  reading: (s, v) =>
    v.merge
      ? `They differ in ${s.differ} items, no more than 2β = ${number(v.line, 1)}: cheapest is one place for both. They <b class="good">merge</b>.`
      : `They differ in ${s.differ} items, more than 2β = ${number(v.line, 1)}: one place for both costs too much. They <b class="bad">part</b>.`,
});
