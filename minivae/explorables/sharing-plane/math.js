// Theorem 2.3 in the toy's latent plane: gradients of all users at one stop of its training. No drawing here.
import { RUN } from "./run.js";

export const stops = RUN.stops.map(({ step }) => step);
export const community = RUN.community;
const NOISE = [[1, 1], [1, -1], [-1, 1], [-1, -1]]; // four samples stand for a cloud: mean 0, mean square 1
const GOALS = RUN.items.map((row) => {
  const n = [...row].filter((b) => b === "1").length;
  return [...row].map((b) => Number(b) / n); // loss per interaction
});
const USERS = GOALS.map((_, u) => u);

const norm = (a) => Math.sqrt(a.reduce((sum, x) => sum + x * x, 0));
const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);
const minus = (a, b) => a.map((x, i) => x - b[i]);

export const place = (stop, u) => RUN.stops[stop].mu[u];

/** Features of z, with a 1 for the bias. */
const features = ([x, y]) => [...RUN.a.map(([p, q], j) => Math.tanh(p * x + q * y + RUN.c[j])), 1];

function probabilities(stop, h) {
  const { w, b } = RUN.stops[stop];
  const logits = w.map((row, i) => row.reduce((sum, x, j) => sum + x * h[j], b[i]));
  const top = Math.max(...logits);
  const e = logits.map((f) => Math.exp(f - top));
  const total = e.reduce((s, x) => s + x, 0);
  return e.map((x) => x / total);
}

/** ∇_θ ℓ = (π − x/N)(h, 1)ᵀ as one long vector. */
const gradient = (pi, goal, h) => pi.flatMap((p, i) => h.map((f) => (p - goal[i]) * f));

/** stop = index of the stop; user = u; moved = {user: [x, y]}, the means that were dragged from their places. */
export function compute({ stop, user, moved }) {
  const { mu, sd } = RUN.stops[stop];
  const means = mu.map((m, v) => moved[v] ?? m);
  const samples = means.map((m, v) =>
    NOISE.map((e) => {
      const z = m.map((c, k) => c + sd[v][k] * e[k]);
      const h = features(z);
      return { z, h, pi: probabilities(stop, h) };
    }),
  );
  const mean = USERS.map((v) => {
    const each = samples[v].map(({ h, pi }) => gradient(pi, GOALS[v], h));
    return each[0].map((_, i) => each.reduce((sum, g) => sum + g[i], 0) / NOISE.length);
  });
  const own = norm(mean[user]);
  const exact = USERS.map((v) => dot(mean[user], mean[v]));
  const distance = USERS.map((v) => norm([...minus(means[user], means[v]), ...minus(sd[user], sd[v])]));
  const mismatch = USERS.map((v) => {
    const content = norm(minus(GOALS[user], GOALS[v]));
    return samples[v].reduce((sum, { h }) => sum + content * norm(h), 0) / NOISE.length;
  });
  // the Lipschitz constant of u: the steepest change of its gradient between samples of u and of another user
  const here = samples[user].map(({ h, pi }) => gradient(pi, GOALS[user], h));
  const lipschitz = Math.max(
    ...USERS.filter((v) => v !== user).flatMap((v) =>
      samples[v].map(({ z, h, pi }, s) => {
        const far = norm(minus(samples[user][s].z, z));
        return far > 0 ? norm(minus(here[s], gradient(pi, GOALS[user], h))) / far : 0;
      }),
    ),
  );
  const radius = mismatch.map((m) => Math.max(0, own - m) / lipschitz);
  const certified = USERS.map((v) => Number(v !== user && lipschitz * distance[v] + mismatch[v] < own));
  const mates = USERS.filter((v) => v !== user && community[v] === community[user]);
  const sorted = mates.map((v) => radius[v]).sort((a, b) => a - b);
  const middle = sorted.length / 2;
  return {
    norm: own,
    lipschitz,
    reach: own / lipschitz,
    typical: (sorted[Math.ceil(middle) - 1] + sorted[Math.floor(middle)]) / 2,
    helped: USERS.filter((v) => v !== user && exact[v] > 0).length,
    sure: certified.reduce((a, b) => a + b, 0),
    means,
    exact,
    distance,
    mismatch,
    radius,
    certified,
  };
}
