import { arrow, axes, circle, explorable, line, number, path, shape, text } from "../kit/kit.js";
import { compute } from "./math.js";

const clamp = (v, a, b) => Math.max(a, Math.min(b, v));
const tidy = (v) => Math.round(v * 100) / 100;

/** g_v is one of the gradients that the theorem allows: inside the disc of radius D around g_u. */
function inside({ g, lipschitz, w, mismatch }, x, y) {
  const most = lipschitz * w + mismatch;
  const far = Math.hypot(x - g, y);
  const k = far > most ? most / far : 1;
  return { along: g + (x - g) * k, across: y * k };
}

function paint(s, v, width) {
  const wide = width >= 560;
  const size = wide ? (width - 30) / 2 : width;
  const height = wide ? 330 : 260;
  const colour = v.certified ? "good" : "bad";

  // left: the latent plane, u in the middle
  const reach = wide ? 2.4 : 2.1;
  const scale = Math.min(size, height) / (2 * reach);
  const cx = size / 2;
  const cy = 30 + height / 2;
  let svg = text("name", 4, 14, "latent space: where the users are");
  const r = Math.min(v.radius, 40) * scale;
  svg += shape("clipPath", "", { id: "latent" }, shape("rect", "", { x: 0, y: 24, width: size, height: height + 4 }));
  svg += shape("g", "", { "clip-path": "url(#latent)" }, circle("f good a1", cx, cy, r) + circle("s good thick", cx, cy, r));
  svg += line("soft dash", cx, cy, cx + s.w * scale, cy);
  svg += text("name", cx + (s.w * scale) / 2, cy - 8, s.w * scale > 40 ? "W₁" : "", "middle");
  svg += circle("f u", cx, cy, 8) + text("u", cx, cy + 26, "u", "middle");
  svg += text("v", cx + s.w * scale, cy + 30, "v", "middle");
  const words = v.radius > 0 ? `sharing radius ${number(v.radius)}` : "radius 0: too different";
  const under = Math.max(r, 34) + 20;
  svg += text(v.radius > 0 ? "good" : "bad", cx, cy + Math.min(under, height / 2 - 8), words, "middle");

  // right: the plane of gradients, g_u along the first axis
  const left = wide ? size + 30 : 0;
  const top = wide ? 30 : height + 66;
  const a = axes({ left, top, width: size, height, x: [-1.7, 3.3], y: [(-5 * height) / size / 2, (5 * height) / size / 2], xticks: 0, yticks: 0 });
  const [ox, oy] = [a.X(0), a.Y(0)];
  const unit = size / 5;
  svg += text("name", left + 4, top - 16, "gradients: g of v lies in the disc");
  svg += shape("clipPath", "", { id: "plane" }, shape("rect", "", { x: left, y: top, width: size, height }));
  let inner = shape("rect", "f bad a1", { x: left, y: top, width: Math.max(0, ox - left), height });
  inner += circle(`f ${colour} a3`, a.X(s.g), oy, v.penalty * unit) + circle(`s ${colour}`, a.X(s.g), oy, v.penalty * unit);
  inner += line("soft thin", ox, top, ox, a.bottom) + line("soft thin", left, oy, a.right, oy);
  svg += shape("g", "", { "clip-path": "url(#plane)" }, inner);
  svg += text("bad", left + 6, a.bottom - 10, "v hurts u") + text("soft", a.right - 6, a.bottom - 10, "v helps u", "end");
  svg += arrow("u thick", ox, oy, a.X(s.g), oy, 11) + arrow("v thick", ox, oy, a.X(s.along), a.Y(s.across), 11);
  svg += text("u", a.X(s.g) + 6, oy + 20, "g of u");
  svg += circle("f ink", ox, oy, 4.5) + text("strong", ox - 6, oy + 18, "0", "end");
  const [tx, ty] = [a.X(s.along), a.Y(s.across)];
  svg += text("v", Math.min(tx + 14, a.right - 46), ty < top + 24 ? ty + 26 : ty - 14, "g of v");
  const down = Math.min(v.penalty * unit, a.bottom - oy);
  if (down > 50) svg += line(`${colour} thin dash`, a.X(s.g), oy, a.X(s.g), oy + down) + text(colour, a.X(s.g) + 6, oy + 40, `D = ${number(v.penalty)}`);
  const worst = a.X(s.g - v.penalty);
  if (worst > left + 4) svg += circle(`f ${colour}`, worst, oy, 5) + text(colour, worst, oy + 38, "worst case", worst < left + 50 ? "start" : "middle") + line(`${colour} thin`, worst, oy + 6, worst, oy + 25);
  return { height: wide ? height + 36 : 2 * height + 72, svg, view: { a, cx, cy, scale } };
}

explorable({
  start: { g: 1.6, w: 1, lipschitz: 0.8, mismatch: 0.4, along: 1.05, across: 0.75 },
  compute: (s) => {
    Object.assign(s, inside(s, s.along, s.across));
    return compute(s);
  },
  controls: [
    { key: "w", label: "distance in latent space, W₁", min: 0, max: 2.5, step: 0.05 },
    { key: "mismatch", label: "content mismatch, Δ", min: 0, max: 2, step: 0.05 },
    { key: "lipschitz", label: "gradient per distance, K (Lipschitz)", min: 0.1, max: 2, step: 0.05 },
    { key: "g", label: "length of the gradient of u, ‖gᵤ‖", min: 0.2, max: 2.5, step: 0.05 },
  ],
  handles: [
    {
      name: "user v in latent space",
      colour: "v",
      at: (s, p) => [p.cx + s.w * p.scale, p.cy],
      move: (s, [x], p) => ({ w: tidy(clamp((x - p.cx) / p.scale, 0, 2.5)) }),
      key: (s, dx) => ({ w: tidy(clamp(s.w + 0.05 * dx, 0, 2.5)) }),
      words: (s) => `distance ${number(s.w)}`,
    },
    {
      name: "gradient of v",
      colour: "v",
      at: (s, p) => [p.a.X(s.along), p.a.Y(s.across)],
      move: (s, [x, y], p) => inside(s, tidy(p.a.toX(x)), tidy(p.a.toY(y))),
      key: (s, dx, dy) => inside(s, s.along + 0.05 * dx, s.across + 0.05 * dy),
      words: (s) => `${number(s.along)} along the gradient of u, ${number(s.across)} across`,
    },
  ],
  paint,
  numbers: [
    { key: "radius", label: "sharing radius [‖g<sub>u</sub>‖ − Δ]₊ / K", text: (v) => number(v.radius) },
    { key: "penalty", label: "radius of the disc, D = K W₁ + Δ", text: (v) => number(v.penalty) },
    { key: "least", label: "⟨g<sub>u</sub>, g<sub>v</sub>⟩ is at least", text: (v) => number(v.least) },
    { key: "inner", label: "⟨g<sub>u</sub>, g<sub>v</sub>⟩ of this g<sub>v</sub>", text: (v) => number(v.inner) },
  ],
  reading: (s, v) => {
    const digits = Math.abs(s.w - v.radius) < 0.005 ? 4 : 2; // two numbers that differ look different
    const [here, radius] = [number(s.w, digits), number(v.radius, digits)];
    if (v.certified) return `W₁ = ${here} is less than the sharing radius ${radius}, so the disc does not reach 0: <b class="good">certified</b>. Whatever the gradient of v is, a small step on v lowers the loss of u.`;
    const truth = Math.abs(v.inner) < 1e-9 ? "The gradient drawn neither helps nor hurts, to first order." : v.inner > 0 ? "The gradient drawn helps all the same: the condition is sufficient, not necessary." : "The gradient drawn hurts.";
    if (v.border) return `D is as long as the gradient of u, so the disc just touches 0: only a gradient of v that is 0 would not help. <b class="bad">Not certified</b>. ${truth}`;
    return `W₁ = ${here} is not less than the sharing radius ${radius}, so the disc reaches 0, and some g<sub>v</sub> in it may hurt (those left of the axis; the others still help): <b class="bad">not certified</b>. ${truth}`;
  },
});
