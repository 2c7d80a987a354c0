import { axes, box, circle, explorable, line, number, path, shape, text, through } from "../kit/kit.js";
import { compute, FREE } from "./math.js";

const COLOURS = ["u", "v", "good"];

function star(cls, x, y, r) {
  const tips = Array.from({ length: 10 }, (_, k) => {
    const [angle, size] = [(Math.PI * k) / 5 - Math.PI / 2, k % 2 ? r * 0.45 : r];
    return [x + size * Math.cos(angle), y + size * Math.sin(angle)];
  });
  return path(`f ${cls}`, through(tips, true));
}

const whole = (angle) => ((Math.round(angle) + 270) % 180) - 90; // the same H after half a turn
const tidy = (curvature) => Math.max(0.05, Math.min(2, Math.round(curvature * 20) / 20));

function paint(s, v, width) {
  const height = Math.min(380, width * 0.82);
  const enlarge = s.ruler === "relative" ? 1 / v.scale : 1; // the anchored crowd only, about its middle
  const middle = (users) => [0, 1].map((k) => users.flat().reduce((sum, p) => sum + p[k], 0) / users.flat().length);
  const [before, after] = [middle(FREE), middle(v.moved)];
  const show = (p) => p.map((c, k) => before[k] + (c - after[k]) * enlarge);
  const half = 2.15;
  const a = axes({ left: 4, top: 26, width: width - 8, height, x: [(-half * (width - 8)) / height, (half * (width - 8)) / height], y: [-half * 0.86, half * 1.14], xticks: 0, yticks: 0 });
  let inner = "";
  FREE.forEach((points, u) => {
    const colour = COLOURS[u];
    points.forEach(([x, y], h) => {
      const [p, q] = show(v.moved[u][h]);
      inner += line(`${colour} thin a3`, a.X(x), a.Y(y), a.X(p), a.Y(q)) + circle(`s ${colour} a6`, a.X(x), a.Y(y), 6);
      inner += circle(`f ${colour}`, a.X(p), a.Y(q), 4);
    });
    const [cx, cy] = show(v.centroids[u]);
    inner += star("ink", a.X(cx), a.Y(cy), 10);
  });
  // H in the corner: how far a step may go in each direction at the same cost
  const [hx, hy] = [width - 52, 26 + 50];
  const angle = (-s.turn * Math.PI) / 180;
  const axis = (curvature) => Math.min(40, 14 / Math.sqrt(curvature));
  const valley = Array.from({ length: 48 }, (_, k) => {
    const [p, q] = [axis(s.steep) * Math.cos((k * Math.PI) / 24), axis(s.flat) * Math.sin((k * Math.PI) / 24)];
    return [hx + p * Math.cos(angle) - q * Math.sin(angle), hy + p * Math.sin(angle) + q * Math.cos(angle)];
  });
  inner += path("f ink a1", through(valley, true)) + path("s ink thin", through(valley, true));
  inner += text("tick", hx, hy + 4, "H", "middle");
  const grip = axis(s.flat);
  const handle = [hx - grip * Math.sin(angle), hy + grip * Math.cos(angle)];

  let svg = shape("clipPath", "", { id: "plane" }, shape("rect", "", { x: 4, y: 26, width: width - 8, height }));
  svg += shape("g", "", { "clip-path": "url(#plane)" }, inner) + shape("rect", "s rule", { x: 4, y: 26, width: width - 8, height });
  svg += text("name", 4, 15, s.ruler === "relative" ? `the anchored crowd, enlarged ${number(enlarge, 1)} times to its old size` : "latent space, one fixed ruler");

  // legend
  const low = 26 + height + 22;
  svg += circle("s ink", 12, low - 4, 6) + text("", 22, low, "free") + circle("f ink", 72, low - 4, 4.5) + text("", 82, low, "with anchors");
  svg += star("ink", 184, low - 4, 8) + text("", 196, low, "mean anchor");

  // bars
  const bars = [["over masks", v.shrink], ["between users", v.between], ["masks / users", v.relative]];
  const from = 106;
  const long = width - from - 54;
  svg += text("name", 4, low + 34, "variance, with anchors / without");
  bars.forEach(([words, value], k) => {
    const y = low + 46 + 26 * k;
    svg += text("", from - 10, y + 13, words, "end");
    svg += box(k === 2 ? "mix" : "soft", from, y, Math.min(value, 1.25) / 1.25 * long, 17) + text("strong", from + (Math.min(value, 1.25) / 1.25) * long + 6, y + 13, number(value));
  });
  const one = from + long / 1.25;
  svg += line("ink dash", one, low + 40, one, low + 124) + text("tick", one, low + 138, "as without anchors", "middle");
  return { height: low + 144, svg, view: { handle, hx, hy } };
}

explorable({
  start: { lambda: 0.5, steep: 1, flat: 1, turn: 0, apart: 1, ruler: "absolute" },
  compute,
  controls: [
    { key: "lambda", label: "weight of the anchors, λ", min: 0, max: 4, step: 0.05 },
    { key: "apart", label: "distance of the users’ mean anchors", min: 0, max: 1, step: 0.05, text: (x) => (x === 0 ? "one place" : x === 1 ? "as the users" : number(x)) },
    { key: "steep", label: "curvature of the loss, one way", min: 0.05, max: 2, step: 0.05 },
    { key: "flat", label: "… and across it", min: 0.05, max: 2, step: 0.05 },
    { key: "ruler", label: "Measure with", options: { absolute: "a fixed ruler", relative: "a ruler that shrinks with the crowd" } },
  ],
  handles: [
    {
      name: "Hessian H: turn it, or change its curvature across",
      small: true,
      at: (s, p) => p.handle,
      move: (s, [x, y], { hx, hy }) => {
        const [dx, dy] = [x - hx, y - hy];
        return { turn: whole((Math.atan2(dx, dy) * 180) / Math.PI), flat: tidy((14 / Math.max(Math.hypot(dx, dy), 1)) ** 2) };
      },
      key: (s, dx, dy) => ({ turn: whole(s.turn + 5 * dx), flat: tidy(s.flat + 0.05 * dy) }),
      words: (s) => `${s.turn}°, curvature ${number(s.steep)} and ${number(s.flat)}`,
    },
  ],
  paint,
  numbers: [
    { key: "shrink", label: "variance over masks, anchored / free", text: (v) => number(v.shrink, 3) },
    { key: "bound", label: "is at most τ²", text: (v) => number(v.bound, 3) },
    { key: "tau", label: "τ = L / (L + 2λ), L the larger curvature", text: (v) => number(v.tau, 3) },
    { key: "between", label: "variance between users, anchored / free", text: (v) => number(v.between, 3) },
    { key: "relative", label: "over masks / between users, anchored / free", text: (v) => number(v.relative, 3) },
  ],
  reading: (s, v) => {
    if (s.lambda === 0) return "Without anchors every mask puts a user somewhere else. Turn up λ.";
    const first = `Over masks the views keep ${number(100 * v.shrink, 0)} % of their variance, no more than τ² = ${number(100 * v.bound, 0)} %.`;
    const crowd = `${number(100 * v.between, 0)} %`;
    if (v.relative <= 0.97) return `${first} The crowd kept ${crowd}: the views are <b class="good">really steadier</b>.`;
    const unit = s.apart === 0 ? "only the unit has changed" : "hardly more than the unit has changed";
    const lesson = s.steep === s.flat ? unit : "the views are not really steadier";
    return `${first} But the crowd kept only ${crowd}: <b class="bad">${lesson}</b>.`;
  },
});
