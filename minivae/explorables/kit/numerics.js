// Integrals over the line, and the normal density: what several explorables compute with.

/** Nodes and weights of Gauss and Legendre on [−1, 1], by Newton's method on the Legendre polynomial. */
export function legendre(n) {
  return Array.from({ length: n }, (_, i) => {
    let x = Math.cos((Math.PI * (i + 0.75)) / (n + 0.5));
    let slope = 1;
    for (let step = 0; step < 50; step++) {
      let [before, now] = [1, x];
      for (let k = 2; k <= n; k++) [before, now] = [now, ((2 * k - 1) * x * now - (k - 1) * before) / k];
      slope = (n * (x * now - before)) / (x * x - 1);
      const move = now / slope;
      x -= move;
      if (Math.abs(move) < 1e-16) break;
    }
    return [x, 2 / ((1 - x * x) * slope * slope)];
  });
}
const RULE = legendre(10);
const REACH = 9; // spreads on either side of a mean: beyond lies 1e-19 of a normal law

/** Nodes and weights [z, w] for smooth functions that live where the Gaussians (mu[k], sd[k]²) live. */
export function grid(mu, sd) {
  const cuts = mu.flatMap((m, k) => Array.from({ length: 2 * REACH + 1 }, (_, t) => m + (t - REACH) * sd[k]));
  cuts.sort((a, b) => a - b);
  return cuts.slice(1).flatMap((end, k) => {
    const [half, middle] = [(end - cuts[k]) / 2, (end + cuts[k]) / 2];
    return half > 0 ? RULE.map(([x, w]) => [middle + half * x, half * w]) : [];
  });
}

export const integrate = (nodes, f) => nodes.reduce((sum, [z, w]) => sum + w * f(z), 0);

const HALF_LOG_2PI = 0.5 * Math.log(2 * Math.PI);

/** log N(z; mu, sd²) */
export const logNormal = (z, mu = 0, sd = 1) => -0.5 * ((z - mu) / sd) ** 2 - Math.log(sd) - HALF_LOG_2PI;

export const normal = (z, mu = 0, sd = 1) => Math.exp(logNormal(z, mu, sd));

/** KL(N(mu, sd²) ‖ N(0, 1)) in nats; (sd − 1)(sd + 1) keeps the digits near sd = 1. */
export const klToPrior = (mu, sd) => 0.5 * (mu * mu + Math.max(0, (sd - 1) * (sd + 1) - 2 * Math.log(sd)));

/** log Σ exp without overflow. */
export function logSumExp(values) {
  const top = Math.max(...values);
  return top + Math.log(values.reduce((sum, v) => sum + Math.exp(v - top), 0));
}
