import { axes, box, circle, explorable, line, number, path, shape, text, through } from "../kit/kit.js";
import { compute } from "./math.js";

const MOST = 40;
const whole = (v) => Math.max(0, Math.min(MOST, Math.round(v)));

function map(s, v, left, top, width, height) {
  const a = axes({ left, top, width, height, x: [0, MOST], y: [0, MOST], xlabel: "items in common, s", ylabel: "items that differ, d", xticks: 4 });
  const { X, Y } = a;
  const at = v.slope * MOST; // where the line of no change leaves the map
  const end = at <= MOST ? [MOST, at] : [MOST / v.slope, MOST];
  const origin = [X(0), Y(0)];
  const corner = [X(end[0]), Y(end[1])];
  const below = at <= MOST ? [origin, corner, [X(MOST), Y(0)]] : [origin, corner, [X(MOST), Y(MOST)], [X(MOST), Y(0)]];
  const above = at <= MOST ? [origin, corner, [X(MOST), Y(MOST)], [X(0), Y(MOST)]] : [origin, corner, [X(0), Y(MOST)]];
  let svg = path("f good a1", through(above, true)) + path("f bad a1", through(below, true)) + a.svg;
  svg += line("ink thick", ...origin, ...corner);
  const turn = (Math.atan2(corner[1] - origin[1], corner[0] - origin[0]) * 180) / Math.PI;
  const part = v.slope > 1.2 ? 0.5 : 0.7; // clear of the words in the corner
  const [mx, my] = [0, 1].map((k) => (1 - part) * origin[k] + part * corner[k]);
  if (v.slope > 0.2) svg += shape("g", "", { transform: `rotate(${number(turn, 1).replace("−", "-")} ${mx.toFixed(1)} ${my.toFixed(1)})` }, text("strong", mx, my - 7, `no change: d = ${number(v.slope)} s`, "middle"));
  if (v.slope < 2.2) svg += text("good", X(1.2), Y(MOST) + 20, "masks bring closer");
  const low = s.d < 6 && s.s > 14 ? 9 : 1.2; // clear of the point
  if (v.slope > 0.25) svg += text("bad", X(MOST) - 6, Y(low), "masks drive apart", "end");
  return { svg, view: a };
}

function law(s, v, left, top, width, height) {
  const { pmf } = v;
  const peak = Math.max(...pmf);
  const seen = pmf.map((p, k) => k).filter((k) => pmf[k] > 1e-3 * peak);
  const low = Math.max(-0.8, Math.min(seen[0], s.d) - 1.5);
  const high = Math.max(seen[seen.length - 1], s.d, 6) + 1.5;
  const a = axes({ left, top, width, height, x: [low, high], y: [0, peak * 1.25], xlabel: "distance of the masked users", ylabel: "probability", yticks: 3 });
  const bar = Math.max(1, (width / (high - low)) * 0.82);
  let svg = a.svg;
  pmf.forEach((p, k) => {
    if (k < low || k > high || p < 1e-5 * peak) return;
    const colour = k < s.d ? "good" : k > s.d ? "bad" : "soft";
    svg += box(colour, a.X(k) - bar / 2, a.Y(p), bar, a.bottom - a.Y(p));
  });
  const x = a.X(s.d);
  svg += line("ink dash", x, top + 2, x, a.bottom);
  const side = x > left + width / 2 ? "end" : "start";
  svg += text("strong", x + (side === "end" ? -6 : 6), top + 12, `without masks: ${s.d}`, side);
  const m = a.X(v.mean);
  svg += circle("f ink", m, a.bottom, 5) + text("strong", m, a.bottom - 10, "mean", "middle");
  return svg;
}

function paint(s, v, width) {
  const wide = width >= 560;
  const each = wide ? (width - 110) / 2 : width - 56;
  const first = map(s, v, 40, 30, each, wide ? 300 : 250);
  const second = wide ? law(s, v, 40 + each + 60, 30, each, 300) : law(s, v, 46, 352, each - 6, 190);
  return { height: wide ? 376 : 590, svg: first.svg + second, view: first.view };
}

const count = (v) => String(v);

/** The probability that one user keeps a common item and the other does not, as it is reckoned. */
function one({ masks, rho, common }) {
  const keep = masks === "popular" ? common : rho;
  return masks === "shared" ? "0" : `2 · ${number(keep)} · ${number(1 - keep)}`;
}

explorable({
  start: { s: 12, d: 16, rho: 0.5, common: 0.5, masks: "own" },
  compute,
  controls: [
    { key: "rho", label: "probability to keep an item, ρ", min: 0.05, max: 0.95, step: 0.05 },
    { key: "s", label: "items in common, s", min: 0, max: MOST, step: 1, text: count },
    { key: "d", label: "items that differ, d", min: 0, max: MOST, step: 1, text: count },
    { key: "masks", label: "The two users have", options: { own: "masks of their own (Theorem 2.6)", shared: "one mask for both", popular: "own masks, and another ρ for common items" } },
    { key: "common", label: "ρ of common items", min: 0.05, max: 0.95, step: 0.05, seen: (s) => s.masks === "popular" },
  ],
  handles: [
    {
      name: "pair of users on the map",
      at: (s, a) => [a.X(s.s), a.Y(s.d)],
      move: (s, [x, y], a) => ({ s: whole(a.toX(x)), d: whole(a.toY(y)) }),
      key: (s, dx, dy) => ({ s: whole(s.s + dx), d: whole(s.d + dy) }),
      words: (s) => `${s.s} items in common, ${s.d} differ`,
    },
  ],
  paint,
  numbers: [
    { key: "mean", label: "mean masked distance", text: (v) => number(v.mean) },
    { key: "stay", label: "old ones that stay", text: (v, s) => `${number(s.rho)} · ${s.d} = ${number(v.stay)}` },
    { key: "fresh", label: "new ones", text: (v, s) => `${one(s)} · ${s.s} = ${number(v.fresh)}` },
    { key: "change", label: "change by the masks", text: (v) => (v.change > 1e-12 ? "+" : "") + number(v.change) },
    { key: "closer", label: "probability to come closer", text: (v) => number(v.closer, 3) },
    { key: "farther", label: "probability to move apart", text: (v) => number(v.farther, 3) },
    { key: "slope", label: "slope d / s of the line of no change", text: (v) => number(v.slope) },
    { key: "jaccard", label: "Jaccard index s / (s + d)", text: (v) => number(v.jaccard, 3) },
    { key: "threshold", label: "pairs whose Jaccard index is below this come closer", text: (v) => number(v.threshold, 3) },
  ],
  reading: (s, v) => {
    const sum = `On average ${number(v.stay)} of the ${s.d} differences stay, and ${number(v.fresh)} of the ${s.s} common items become new ones: ${number(v.mean)} in place of ${s.d}.`;
    if (Math.abs(v.change) < 1e-12) return `${sum} The pair lies on the line: no change.`;
    return v.change < 0 ? `${sum} The pair comes <b class="good">closer</b>.` : `${sum} The pair is driven <b class="bad">apart</b>.`;
  },
});
