import { axes, box, explorable, line, number, path, span, text, through } from "../kit/kit.js";
import { logNormal, normal } from "../kit/numerics.js";
import { compute, logLikelihood, USERS } from "./math.js";

const tidy = (v) => Math.round(v * 20) / 20;
const clamp = (v, a, b) => Math.max(a, Math.min(b, v));

/** The lowest fit + β KL for this user at settings of the two sliders, by a walk that halves its steps. */
function lowest(s) {
  let [best, step] = [{ mu: 0.5, sd: 0.8 }, 8]; // steps of a slider, 0.05 each
  const cost = (q) => compute({ ...s, ...q }).objective;
  let value = cost(best);
  while (step >= 1) {
    const around = [-step, 0, step].flatMap((m) => [-step, 0, step].map((d) => ({ mu: clamp(tidy(best.mu + m / 20), -3, 3), sd: clamp(tidy(best.sd + d / 20), 0.1, 2) })));
    const costs = around.map(cost);
    const least = Math.min(...costs);
    if (least < value) [best, value] = [around[costs.indexOf(least)], least];
    else step /= 2;
  }
  return best;
}

function paint(s, v, width) {
  const left = 10;
  const z = span(-3.8, 3.8, 191);
  const peak = 1.1;
  const a = axes({ left, top: 40, width: width - 20, height: 210, x: [-3.8, 3.8], y: [0, peak], xlabel: "taste z", yticks: 0 });
  const points = (f) => z.map((x) => [a.X(x), a.Y(Math.min(peak, f(x)))]);
  const posterior = points((x) => Math.exp(logNormal(x) + logLikelihood(x, USERS[s.user]) - v.evidence));
  let svg = text("soft", left, 16, "dashed: prior; grey: true posterior") + text("u", left, 33, "q, yours to move");
  svg += path("f ink a1", through([[a.X(z[0]), a.bottom], ...posterior, [a.X(z[190]), a.bottom]], true)) + a.svg;
  svg += path("s ink", through(posterior)) + path("s soft dash", through(points((x) => normal(x)))) + path("s u thick", through(points((x) => normal(x, s.mu, s.sd))));

  const top = 326;
  const most = Math.max(14, 1.04 * (v.fit + v.kl));
  const X = (nats) => left + ((width - 20) * Math.min(nats, most)) / most;
  svg += text("name", left, top - 12, "fit + KL, in nats: never below −log p(x)");
  svg += box("u", left, top, X(v.fit) - left, 30) + box("warm", X(v.fit), top, X(v.fit + v.kl) - X(v.fit), 30);
  const end = X(-v.evidence);
  svg += box("bad a3", end, top + 34, X(v.fit + v.kl) - end, 12);
  svg += line("ink thick", end, top - 6, end, top + 52);
  svg += text("u", left, top + 64, "fit") + text("warm", left + 34, top + 64, "KL");
  svg += text("bad", left + 64, top + 64, "gap") + text("strong", width - 10, top + 64, `| −log p(x) = ${number(-v.evidence)}`, "end");
  return { height: top + 76, svg, view: a };
}

explorable({
  start: { mu: -0.6, sd: 0.8, beta: 1, user: "heavy" },
  compute,
  controls: [
    { key: "mu", label: "mean of q, μ", min: -3, max: 3, step: 0.05 },
    { key: "sd", label: "spread of q, σ", min: 0.1, max: 2, step: 0.05 },
    { key: "beta", label: "weight of the KL term, β", min: 0, max: 4, step: 0.1, text: (v) => number(v, 1) },
    { key: "user", label: "The user took", options: { light: "item 5", heavy: "items 3, 4, 5 and 6" } },
  ],
  buttons: [{ words: "Find the best q for this β", run: (state, update) => update(lowest(state)) }],
  handles: [
    {
      name: "q: drag sideways for its mean, up and down for its spread",
      colour: "u",
      at: (s, a) => [a.X(s.mu), a.Y(Math.min(1.1, normal(s.mu, s.mu, s.sd)))],
      move: (s, [x, y], a) => ({ mu: tidy(clamp(a.toX(x), -3, 3)), sd: tidy(clamp(0.3989 / Math.max(a.toY(y), 0.1), 0.1, 2)) }),
      key: (s, dx, dy) => ({ mu: tidy(clamp(s.mu + 0.05 * dx, -3, 3)), sd: tidy(clamp(s.sd - 0.05 * dy, 0.1, 2)) }),
      words: (s) => `mean ${number(s.mu)}, spread ${number(s.sd)}`,
    },
  ],
  paint,
  numbers: [
    { key: "gap", label: "gap = KL(q ‖ true posterior)", text: (v) => number(v.gap, 3) },
    { key: "fit", label: "fit = −E log p(x|z)", text: (v) => number(v.fit, 3) },
    { key: "kl", label: "KL(q ‖ prior)", text: (v) => number(v.kl, 3) },
    { key: "elbo", label: "ELBO = −fit − KL", text: (v) => number(v.elbo, 3) },
    { key: "evidence", label: "log p(x)", text: (v) => number(v.evidence, 3) },
    { key: "objective", label: "fit + β KL", text: (v) => number(v.objective, 3) },
  ],
  reading: (s, v) =>
    v.gap < 0.02
      ? `q is nearly the true posterior: the bound is <b class="good">tight</b> up to ${number(v.gap, 3)} nats. No Gaussian closes the gap wholly, for the true posterior is none.`
      : `Fit + KL is <b class="bad">${number(v.gap)} nats</b> above −log p(x): exactly the divergence of q from the true posterior.`,
});
