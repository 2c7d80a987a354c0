// Theorem 2.6: the law of the distance of two masked users, exact. No drawing here.

/** P(K = k), k = 0 … n, of a binomial: all terms are positive and built by ratios, so nothing cancels. */
export function binomial(n, p) {
  if (p === 0 || p === 1) return Array.from({ length: n + 1 }, (_, k) => Number(k === p * n));
  const pmf = [(1 - p) ** n];
  for (let k = 1; k <= n; k++) pmf.push((pmf[k - 1] * (n - k + 1) * p) / (k * (1 - p)));
  return pmf;
}

/** The law of a sum of two independent counts. */
export function convolve(a, b) {
  const sum = new Array(a.length + b.length - 1).fill(0);
  a.forEach((p, i) => b.forEach((q, j) => (sum[i + j] += p * q)));
  return sum;
}

/** Probability that a common item is kept for one user only. */
export const differ = (keep, masks) => (masks === "shared" ? 0 : 2 * keep * (1 - keep));

/**
 * s common items, d different ones, keep probability rho; masks: "own" (independent), "shared" (one for both), "popular"
 * (independent, and the common items have a keep probability of their own, `common`).
 */
export function compute({ s, d, rho, common, masks }) {
  const q = differ(masks === "popular" ? common : rho, masks);
  const pmf = convolve(binomial(d, rho), binomial(s, q));
  const closer = pmf.slice(0, d).reduce((a, b) => a + b, 0);
  const farther = pmf.slice(d + 1).reduce((a, b) => a + b, 0);
  const stay = rho * d; // a difference stays if its owner keeps the item
  const fresh = q * s;
  const variance = rho * (1 - rho) * d + q * (1 - q) * s;
  // E D_h < d is the same as d (1 − ρ) > q s: a line through the origin of the (s, d) plane
  const slope = rho < 1 ? q / (1 - rho) : Infinity;
  const jaccard = s + d > 0 ? s / (s + d) : NaN;
  return { mean: stay + fresh, stay, fresh, sd: Math.sqrt(variance), change: stay + fresh - d, closer, farther, slope, jaccard, threshold: 1 / (1 + slope), pmf };
}
