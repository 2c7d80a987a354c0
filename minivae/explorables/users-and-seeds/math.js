// A mean difference over users and seeds, and what three intervals cover of it. No drawing here.

import { legendre, normal } from "../kit/numerics.js";

const Z = 1.959963984540054; // 97.5 % point of the normal law
const RULE = legendre(16);

/** P(|Z| < q) of a standard normal number. */
export const inside = (q) => q * RULE.reduce((sum, [x, w]) => sum + w * normal((q / 2) * (1 + x)), 0);

/** Variance of the mean difference over n users and m seeds; a, b, e: sd of users, of seeds, of user × seed. */
export const variance = (n, m, { a, b, e }) => (a * a) / n + (b * b) / m + (e * e) / (n * m);

/** The number of seeds that n users need for the variance V; Infinity if they cannot reach it. */
export function seedsFor(V, n, { a, b, e }) {
  const left = V - (a * a) / n;
  return left > 0 ? (b * b + (e * e) / n) / left : Infinity;
}

export function compute({ n: about, m, a, b, e }) {
  const n = Math.round(about); // a slider on a logarithmic scale gives no whole number
  const sd = { a, b, e };
  const V = variance(n, m, sd);
  const both = Math.sqrt(V);
  const users = Math.sqrt(variance(n, m, { a, b: 0, e }));
  const naive = Math.sqrt((a * a + b * b + e * e - V) / (n * m - 1)); // from the expected spread of all n m values
  const gain = (other) => 1 - Math.sqrt(other / V);
  return {
    both,
    users,
    naive,
    coverUsers: inside((Z * users) / both),
    coverNaive: inside((Z * naive) / both),
    ofSeeds: (b * b) / m / V,
    twiceUsers: gain(variance(2 * n, m, sd)),
    twiceSeeds: gain(variance(n, 2 * m, sd)),
  };
}
