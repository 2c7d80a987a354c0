// Theorem 2.5 and what follows from it: the price of one place for two users. No drawing here.
import { grid, integrate, normal } from "../kit/numerics.js";

export const ITEMS = 20; // items of u

/** How many items are u's alone, v's alone, and common, if v has `heavy` items and D of them all differ. */
export function shares(differ, heavy) {
  const common = (ITEMS + heavy - differ) / 2;
  return { alone: ITEMS - common, other: heavy - common, common };
}

/** x log(1 + y/x), 0 for x = 0 */
const part = (x, y) => (x > 0 ? x * Math.log1p(y / x) : 0);

/** The gap where u and v have these densities: all their items there against one profile for both, in nats. */
function price(u, v, differ, heavy) {
  const { alone, other, common } = shares(differ, heavy);
  const lone = alone * part(u, (heavy / ITEMS) * v) + other * part(v, (ITEMS / heavy) * u);
  if (u + v === 0) return lone;
  const [ofU, ofV] = [(heavy / ITEMS - 1) * (v / (u + v)), (ITEMS / heavy - 1) * (u / (u + v))];
  return lone + common * (u * Math.log1p(ofU) + v * Math.log1p(ofV));
}

/** Compromise gap at z: u has ITEMS items, v `heavy`; they differ in D of them; posteriors N(∓t/2, 1). */
export const gapAt = (z, t, differ, heavy) => price(normal(z, -t / 2), normal(z, t / 2), differ, heavy);

/** The gap over the line. */
export const gap = (t, differ, heavy) =>
  integrate(grid([-t / 2, t / 2], [1, 1]), (z) => gapAt(z, t, differ, heavy));

/** KL_u + KL_v of two Gaussians t spreads apart around 0, with the spread that makes it least. */
export const pull = (t) => Math.log1p((t * t) / 4);

/** Below this β the users leave one common place, above it they come back from near by: D / 2 if both have as many items. */
export function threshold(differ, heavy) {
  const { alone, other, common } = shares(differ, heavy);
  const sum = ITEMS + heavy;
  const unequal = (1 / ITEMS - 1 / heavy) ** 2 / 2;
  const spread = sum * (alone / ITEMS ** 2 + other / heavy ** 2 + common * unequal);
  return (2 * (ITEMS * heavy) ** 2 * spread) / sum ** 3;
}

/** t = distance in spreads, differ = D, heavy = items of v, beta = β. */
export function compute({ t, differ, heavy, beta }) {
  const shared = gap(t, differ, heavy);
  const full = price(1, 1, differ, heavy);
  const least = threshold(differ, heavy);
  return {
    gap: shared,
    full,
    share: full > 0 ? shared / full : NaN,
    pull: beta * pull(t),
    total: shared + beta * pull(t),
    threshold: least,
    border: Number(Math.abs(beta - least) < 1e-9 * (1 + least)),
  };
}
