import { axes, box, explorable, line, number, path, span, text, through } from "../kit/kit.js";
import { normal } from "../kit/numerics.js";
import { compute, logCrowd } from "./math.js";

function paint(s, v, width) {
  const left = 14;
  const z = span(-3.6, 3.6, 241);
  const a = axes({ left, top: 48, width: width - 28, height: 190, x: [-3.6, 3.6], y: [0, 0.7], xlabel: "place z in latent space; dots: what the items say", yticks: 0 });
  const clouds = v.mu.length;
  const draw = (f, at = z) => through(at.map((x) => [a.X(x), a.Y(Math.min(f(x), 0.7))]));
  let svg = text("u", left, 16, "seven users, at a seventh of their height");
  svg += text("bad", left, 33, "crowd") + text("soft", left + 48, 33, "and prior (dashed)");
  svg += a.svg;
  v.mu.forEach((m, u) => {
    const near = span(Math.max(-3.6, m - 3.5 * v.sd), Math.min(3.6, m + 3.5 * v.sd), 41);
    const cloud = draw((x) => normal(x, m, v.sd) / clouds, near);
    svg += path("f u a1", `${cloud}Z`) + path("s u", cloud);
    svg += line("u thin", a.X(s.tastes[u]), a.bottom, a.X(m), a.Y(Math.min(normal(m, m, v.sd) / clouds, 0.7)));
  });
  svg += path("s soft dash thick", draw((x) => normal(x), span(-3.6, 3.6, 61))) + path("s bad thick", draw((x) => Math.exp(logCrowd(x, v.mu, v.sd))));

  const top = 306;
  const from = 14;
  const most = Math.max(4.2, v.kl);
  const X = (nats) => from + ((width - 28) * nats) / most;
  svg += text("name", from, top - 12, "mean KL of a user to the prior, in nats");
  svg += line("soft thin", X(v.kl), top, X(v.kl), top + 80);
  svg += box("soft a6", from, top, X(v.kl) - from, 24);
  svg += text("u", from, top + 46, "information") + text("bad", from + 92, top + 46, "+ KL(crowd ‖ prior)");
  svg += box("u", from, top + 56, X(v.information) - from, 24) + box("bad", X(v.information), top + 56, X(v.information + v.marginal) - X(v.information), 24);
  svg += line("ink dash", X(v.ceiling), top + 50, X(v.ceiling), top + 90) + text("strong", X(v.ceiling), top + 105, "ceiling log 7", "middle");
  return { height: top + 114, svg, view: a };
}

const start = { beta: 0.5, surety: 4, tastes: [-2.1, -1.3, -0.5, 0.2, 0.7, 1.4, 2.2] };
const moved = (s, u, x) => ({ tastes: s.tastes.with(u, Math.max(-3, Math.min(3, Math.round(x * 20) / 20))) });

explorable({
  start,
  compute,
  controls: [
    { key: "beta", label: "weight of the KL term, β", min: 0.01, max: 100, step: 0.05, log: true, text: (v) => number(v, v < 1 ? 3 : 1) },
    { key: "surety", label: "how much the items say about a user, h", min: 0.2, max: 20, step: 0.05, log: true, text: (v) => number(v, 1) },
  ],
  handles: start.tastes.map((_, u) => ({
    name: `taste of user ${u + 1}`,
    colour: "u",
    small: true,
    at: (s, a) => [a.X(s.tastes[u]), a.bottom],
    move: (s, [x], a) => moved(s, u, a.toX(x)),
    key: (s, dx) => moved(s, u, s.tastes[u] + 0.1 * dx),
    words: (s) => number(s.tastes[u]),
  })),
  paint,
  numbers: [
    { key: "kl", label: "mean KL(q<sub>u</sub> ‖ p)", text: (v) => number(v.kl, 3) },
    { key: "information", label: "= information I(U; Z)", text: (v) => number(v.information, 3) },
    { key: "marginal", label: "+ KL(crowd ‖ prior)", text: (v) => number(v.marginal, 3) },
    { key: "ceiling", label: "ceiling of I: log 7", text: (v) => number(v.ceiling, 3) },
    { key: "distance", label: "distance of the two outer users", text: (v) => number(v.distance, 2) },
    { key: "bound", label: "… is at most √2KL + √2KL", text: (v) => number(v.bound, 2) },
  ],
  reading: (s, v) => {
    if (v.information > 0.95 * v.ceiling) return `A place nearly tells who the user is: the information is close to its <b class="bad">ceiling</b>. More KL now buys hardly more than spikes in the crowd.`;
    if (v.information < 0.05) {
      const paid = v.kl < 0.1 ? "The dimension has collapsed." : "What they pay is the distance of the crowd from the prior.";
      return `The clouds lie on one another, or nearly: a place tells <b class="bad">next to nothing</b> about its user. ${paid}`;
    }
    return `Of ${number(v.kl)} nats of KL, ${number(v.information)} are information about the user; the rest is the distance of the crowd from the prior.`;
  },
});
