// A/A and A/B tests looked at every evening: 400 simulated experiments of 30 evenings. No drawing here.

export const TESTS = 400;
export const EVENINGS = 30;
const Z = 1.959963984540054; // 97.5 % point of the normal law

/** Uniform numbers in (0, 1) from a 32-bit seed (mulberry32). */
function uniform(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return (((t ^ (t >>> 14)) >>> 0) + 0.5) / 4294967296;
  };
}

/** sums[r][k]: sum of the first k + 1 of independent standard normal numbers (Box and Muller). */
export function walks(seed) {
  const draw = uniform(seed);
  return Array.from({ length: TESTS }, () => {
    let sum = 0;
    return Array.from({ length: EVENINGS }, () => {
      const radius = Math.sqrt(-2 * Math.log(draw()));
      return (sum += radius * Math.cos(2 * Math.PI * draw()));
    });
  });
}
const WALKS = {};

/** How many standard errors an effect must be away from 0 at some look (normal mixture, Robbins 1970). */
export function boundary(se, scale, alpha = 0.05) {
  const known = (scale / se) ** 2;
  return Math.sqrt((1 + 1 / known) * Math.log((1 + known) / alpha ** 2));
}

/**
 * One evening's estimate of the effect has standard error 1, so after k evenings it is 1/√k. effect = true effect,
 * scale = s, the effect that one hopes for, evening = looks so far.
 */
export function compute({ seed, effect, scale, evening }) {
  WALKS[seed] ??= walks(seed);
  const z = WALKS[seed].map((path) => path.map((sum, k) => (sum + effect * (k + 1)) / Math.sqrt(k + 1)));
  const limits = Array.from({ length: EVENINGS }, (_, k) => boundary(1 / Math.sqrt(k + 1), scale));
  const share = (alarm) => z.filter(alarm).length / TESTS;
  const first = (limit) => z.map((path) => path.findIndex((x, k) => Math.abs(x) > limit(k))); // −1: never
  const until = (alarms) =>
    Array.from({ length: evening }, (_, k) => alarms.filter((a) => a >= 0 && a <= k).length / TESTS);
  const peeks = until(first(() => Z));
  const valids = until(first((k) => limits[k]));
  const peeking = peeks[evening - 1];
  return {
    peeking,
    error: Math.sqrt((peeking * (1 - peeking)) / TESTS),
    valid: valids[evening - 1],
    fixed: share((p) => Math.abs(p[evening - 1]) > Z),
    limit: limits[evening - 1],
    z,
    limits,
    peeks,
    valids,
  };
}
