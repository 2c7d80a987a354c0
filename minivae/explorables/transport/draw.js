import { arrow, axes, circle, explorable, line, number, path, shape, span, text, through } from "../kit/kit.js";
import { compute, LONG, plan } from "./math.js";

const tidy = (v, step) => Math.round(v / step) * step;
const clamp = (v, a, b) => Math.max(a, Math.min(b, v));
const LEAST = 10 ** -1.5; // what the second picture shows begins here

/** Points spread evenly over a standard normal cloud. */
const GRAINS = Array.from({ length: 22 }, (_, k) => {
  const r = Math.sqrt(-2 * Math.log(1 - (k + 0.5) / 22.5));
  return [r * Math.cos(2.399963 * k), r * Math.sin(2.399963 * k)];
});

function ellipse(cls, X, Y, mean, thin, angle) {
  const points = span(0, 2 * Math.PI, 73).map((t) => {
    const [a, b] = [2 * LONG * Math.cos(t), 2 * thin * Math.sin(t)];
    return [X(mean + a * Math.cos(angle) - b * Math.sin(angle)), Y(a * Math.sin(angle) + b * Math.cos(angle))];
  });
  return path(`f ${cls} a1`, through(points, true)) + path(`s ${cls}`, through(points, true));
}

function paint(s, v, width) {
  const wide = width >= 560;
  const size = wide ? (width - 60) / 2 : width;
  const height = wide ? 340 : 300;
  const half = 3.4;
  const spread = (half * size) / height;
  const a = axes({ left: 0, top: 24, width: size, height, x: [0.5 - spread, 0.5 + spread], y: [-half, half], xticks: 0, yticks: 0 });
  const angle = Math.PI / 2 + (s.turn * Math.PI) / 180;
  const A = plan(s.thin, s.turn);
  let inner = ellipse("u", a.X, a.Y, 0, s.thin, Math.PI / 2) + ellipse("v", a.X, a.Y, s.shift, s.thin, angle);
  for (const [e, f] of GRAINS) {
    const [x, y] = [s.thin * e, LONG * f];
    const to = [s.shift + A[0] * x + A[1] * y, A[1] * x + A[2] * y];
    inner += arrow("soft thin a6", a.X(x), a.Y(y), a.X(to[0]), a.Y(to[1]), 5) + circle("f u", a.X(x), a.Y(y), 3);
  }
  let svg = shape("clipPath", "", { id: "plane" }, shape("rect", "", { x: 0, y: 20, width: size, height: height + 8 }));
  svg += text("name", 0, 14, "the cheapest way from u to v");
  svg += shape("g", "", { "clip-path": "url(#plane)" }, inner);
  svg += text("u", 6, 24 + height - 24, "u") + text("v", 24, 24 + height - 24, "v");

  const left = wide ? size + 58 : 48;
  const top = wide ? 40 : height + 66;
  const b = axes({ left, top, width: (wide ? size : width) - (wide ? 8 : 58), height: wide ? height - 54 : 190, x: [0, 1.5], y: [Math.log10(LEAST), 4], xlabel: "thickness of the clouds", yticks: 0, xticks: 3 });
  svg += text("name", left, top - 24, "thin and thick clouds; the band ends at W₂") + b.svg;
  for (const power of [-1, 0, 1, 2, 3, 4]) {
    svg += line("grid", left, b.Y(power), b.right, b.Y(power)) + text("tick", left - 6, b.Y(power) + 4, power < 0 ? "0.1" : String(10 ** power), "end");
  }
  const log = (x) => clamp(Math.log10(x), Math.log10(LEAST), 4);
  const sweep = span(0.02, 1.5, 51).map((thin) => [thin, compute({ ...s, thin })]);
  const curve = (key) => through(sweep.map(([thin, value]) => [b.X(thin), b.Y(log(value[key]))]));
  const wedge = [...sweep.map(([thin, value]) => [b.X(thin), b.Y(log(value.w2))]), ...sweep.map(([thin, value]) => [b.X(thin), b.Y(log(value.low))]).reverse()];
  const seen = sweep.filter(([, { kl }]) => kl > LEAST).map(([thin, { kl }]) => [b.X(thin), b.Y(log(kl))]);
  svg += path("f good a3", through(wedge, true)) + path("s bad thick", through(seen)) + path("s good thick", curve("w2")) + path("s good thin", curve("low"));
  svg += line("soft dash", b.X(s.thin), top - 4, b.X(s.thin), b.bottom);
  if (v.kl > LEAST) svg += circle("f bad", b.X(s.thin), b.Y(log(v.kl)), 5);
  svg += circle("f good", b.X(s.thin), b.Y(log(v.w2)), 5);
  svg += text("bad", b.X(0.14), b.Y(log(compute({ ...s, thin: 0.1 }).kl)) - 8, "KL") + text("good", b.right, b.Y(log(sweep[50][1].w2)) - 10, "W₁ in this band", "end");
  return { height: wide ? height + 44 : top + 236, svg, view: { a, b } };
}

explorable({
  start: { thin: 0.8, turn: 20, shift: 0.5 },
  compute,
  controls: [
    { key: "thin", label: "thickness of the clouds", min: 0.02, max: 1.5, step: 0.02 },
    { key: "turn", label: "turn of v", min: 0, max: 90, step: 1, text: (v) => `${v}°` },
    { key: "shift", label: "distance of the means", min: 0.1, max: 1.5, step: 0.05 },
  ],
  handles: [
    {
      name: "end of the cloud of v: turn it",
      colour: "v",
      at: (s, { a }) => {
        const t = (s.turn * Math.PI) / 180;
        return [a.X(s.shift - 2 * LONG * Math.sin(t)), a.Y(2 * LONG * Math.cos(t))];
      },
      move: (s, [x, y], { a }) => {
        const t = (Math.atan2(s.shift - a.toX(x), a.toY(y)) * 180) / Math.PI;
        return { turn: clamp(Math.round(t), 0, 90) };
      },
      key: (s, dx, dy) => ({ turn: clamp(s.turn - dx - dy, 0, 90) }),
      words: (s) => `turned by ${s.turn} degrees`,
    },
  ],
  paint,
  numbers: [
    { key: "kl", label: "KL(q<sub>u</sub> ‖ q<sub>v</sub>), nats", text: (v) => number(v.kl, v.kl < 100 ? 2 : 0) },
    { key: "w2", label: "W₂ (exact)", text: (v) => number(v.w2, 3) },
    { key: "low", label: "distance of the means", text: (v) => number(v.low, 3) },
  ],
  reading: (s, v) => {
    const digits = v.w2 - v.low < 0.005 ? 6 : 2; // two ends that differ look different
    const near = v.w2 - v.low < 1e-6 ? `W₁ = ${number(v.low)} to six places: the clouds have nearly one shape` : `W₁ lies between ${number(v.low, digits)} and ${number(v.w2, digits)}`;
    const bracket = v.bures === 0 ? `W₁ = ${number(v.low)} exactly: the clouds have one shape` : near;
    const factor = v.kl / v.w2;
    if (factor > 20) return `${bracket}. W₂ = ${number(v.w2)}, and yet KL says ${number(v.kl, 0)} nats: it asks how well the clouds <b class="bad">overlap</b>, more than how far they are apart.`;
    return `${bracket}. KL is ${number(v.kl)} nats. Now make the clouds thin.`;
  },
});
