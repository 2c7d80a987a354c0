// Theorem 2.5 and what follows from it: the price of one place for two users. No drawing here.
import { grid, integrate, normal } from "../kit/numerics.js";

export const ITEMS = 20; // items of each user

/** x log(1 + y/x), 0 for x = 0 */
const part = (x, y) => (x > 0 ? x * Math.log1p(y / x) : 0);

/**
 * Compromise gap at z in nats: two users with ITEMS items each who differ in D of them, posteriors N(∓t/2, 1).
 * An item of u alone costs q_u log((q_u + q_v)/q_u) more than if u had z for itself, and so for v.
 */
export function gapAt(z, t, differ) {
  const [u, v] = [normal(z, -t / 2), normal(z, t / 2)];
  return (differ / 2) * (part(u, v) + part(v, u));
}

/** The gap over the line, D · H(U|Z). */
export const gap = (t, differ) => integrate(grid([-t / 2, t / 2], [1, 1]), (z) => gapAt(z, t, differ));

/** KL_u + KL_v of two Gaussians t spreads apart around 0, with the spread that makes it least. */
export const pull = (t) => Math.log1p((t * t) / 4);

/** t = distance in spreads, differ = D, beta = β. */
export function compute({ t, differ, beta }) {
  const price = gap(t, differ);
  return {
    gap: price,
    full: differ * Math.log(2),
    share: differ > 0 ? price / (differ * Math.log(2)) : NaN,
    pull: beta * pull(t),
    total: price + beta * pull(t),
    line: 2 * beta,
    merge: Number(differ <= 2 * beta),
  };
}
