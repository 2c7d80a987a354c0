// Recall by two definitions and nDCG, over two users. No drawing here.

export const SHOWN = 20; // ranks that are drawn

const sum = (list) => list.reduce((a, b) => a + b, 0);
const discount = (rank) => 1 / Math.log2(rank + 1);

/** hits = ranks 1, 2, … of the held-out items that were found; n = how many are held out. */
export function metrics(hits, n, k) {
  const found = hits.filter((rank) => rank <= k);
  const best = Array.from({ length: Math.min(k, n) }, (_, r) => discount(r + 1));
  return { recall: found.length / Math.min(k, n), plain: found.length / n, ndcg: sum(found.map(discount)) / sum(best) };
}

/** k, n of the heavy and of the light user; hits = {A: [of the light, of the heavy user], B: …} */
export function compute({ k, heavy, light, hits }) {
  const values = {};
  for (const model of ["A", "B"]) {
    const users = hits[model].map((ranks, u) => metrics(ranks, [light, heavy][u], k));
    for (const name of ["recall", "plain", "ndcg"]) values[name + model] = sum(users.map((m) => m[name])) / users.length;
  }
  return values;
}
