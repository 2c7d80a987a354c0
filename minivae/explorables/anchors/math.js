// Proposition 3.2: the quadratic model of a user under masks, with and without anchors. No drawing here.

export const MASKS = 10;
const HOMES = [[-1.5, -0.7], [1.6, -0.5], [0.1, 1.3]]; // where the users would be without anchors, mean over masks

/** Free minimisers m_h of three users under MASKS masks each: fixed directions, so that the picture stands still. */
export const FREE = HOMES.map(([x, y], user) => {
  const around = Array.from({ length: MASKS }, (_, h) => {
    const angle = 2.399963229728653 * h + user; // the golden angle spreads directions evenly
    const size = 0.4 + 0.45 * ((h * 0.6180339887498949) % 1);
    return [size * Math.cos(angle), 0.85 * size * Math.sin(angle)];
  });
  const mean = [0, 1].map((k) => around.reduce((sum, p) => sum + p[k], 0) / MASKS);
  return around.map((p) => [x + p[0] - mean[0], y + p[1] - mean[1]]);
});

const mean = (points) => [0, 1].map((k) => points.reduce((sum, p) => sum + p[k], 0) / points.length);

/** Covariance (M − 1 in the denominator) of points in the plane: [xx, xy, yy]. */
export function covariance(points) {
  const [a, b] = mean(points);
  const sum = [0, 0, 0];
  for (const [x, y] of points) {
    sum[0] += (x - a) ** 2;
    sum[1] += (x - a) * (y - b);
    sum[2] += (y - b) ** 2;
  }
  return sum.map((s) => s / (points.length - 1));
}

/** Eigenvalues of a symmetric 2 × 2 matrix [xx, xy, yy], smaller first. */
export function eigenvalues([a, b, c]) {
  const middle = (a + c) / 2;
  const half = Math.hypot((a - c) / 2, b);
  return [middle - half, middle + half];
}

/** v turned by `angle` degrees against the clock. */
const turned = ([x, y], angle) => {
  const [c, s] = [Math.cos((angle * Math.PI) / 180), Math.sin((angle * Math.PI) / 180)];
  return [c * x - s * y, s * x + c * y];
};

/** μ* = (H + 2λI)⁻¹ (H m + 2λ ē) in the two directions in which H curves by `curvature`. */
const pulled = (m, centroid, curvature, lambda) =>
  m.map((x, k) => (curvature[k] * x + 2 * lambda * centroid[k]) / (curvature[k] + 2 * lambda));

/** lambda = λ; H curves by steep and flat, its steep direction is turned; apart: ē_u are the users' own places times this. */
export function compute({ lambda, steep, flat, turn, apart }) {
  const curvature = [steep, flat];
  const centroids = HOMES.map((home) => home.map((x) => apart * x));
  const anchored = (m, centroid) => turned(pulled(turned(m, -turn), turned(centroid, -turn), curvature, lambda), turn);
  const moved = FREE.map((points, u) => points.map((m) => anchored(m, centroids[u])));
  const free = FREE.map(covariance);
  const held = moved.map(covariance);
  const trace = ([a, , c]) => a + c;
  const sum = (list) => list.reduce((s, x) => s + x, 0);
  const within = (list) => sum(list.map(trace));
  const between = (users) => trace(covariance(users.map(mean)));
  const L = Math.max(steep, flat);
  const tau = L / (L + 2 * lambda);
  const ratios = held.map((c, u) => trace(c) / trace(free[u]));
  const tops = held.map((c, u) => eigenvalues(c)[1] / eigenvalues(free[u])[1]);
  const gap = eigenvalues(free[0].map((c, k) => tau ** 2 * c - held[0][k]))[0];
  const scale = Math.sqrt(between(moved) / between(FREE));
  return {
    tau,
    bound: tau ** 2,
    ratios,
    tops,
    gap, // smallest eigenvalue of τ² Cov(m) − Cov(μ*) of the first user: negative, no inequality of matrices
    shrink: within(held) / within(free),
    between: between(moved) / between(FREE),
    relative: within(held) / between(moved) / (within(free) / between(FREE)),
    scale,
    centroids,
    moved,
  };
}
