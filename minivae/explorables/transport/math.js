// Distances of two Gaussians in the plane of equal shape, one of them turned. No drawing here.

export const LONG = 1.5; // spread along the cloud

/** Covariance [xx, xy, yy] of a cloud with spreads LONG and thin, turned by `angle` (radians). */
export function covariance(thin, angle) {
  const [c, s] = [Math.cos(angle), Math.sin(angle)];
  const [a, b] = [LONG ** 2, thin ** 2];
  return [a * c * c + b * s * s, (a - b) * c * s, a * s * s + b * c * c];
}

/** thin = spread across, turn = angle of v in degrees, shift = distance of the means (across the cloud of u). */
export function compute({ thin, turn, shift }) {
  const angle = (turn * Math.PI) / 180;
  const [a, b] = [LONG ** 2, thin ** 2];
  const sine = (a - b) * Math.sin(angle);
  // tr(S_u + S_v − 2 (S_u^½ S_v S_u^½)^½), written so that nothing cancels when the clouds are alike
  const bures = (2 * sine * sine) / (a + b + Math.sqrt((a + b) ** 2 - sine * sine));
  const w2 = Math.sqrt(shift ** 2 + bures);
  // KL(q_u ‖ q_v): the determinants are equal
  const [ux, , uy] = covariance(thin, Math.PI / 2); // u stands upright, v is turned against it
  const [vx, vxy, vy] = covariance(thin, Math.PI / 2 + angle);
  const det = a * b;
  const trace = (vy * ux + vx * uy) / det;
  const kl = 0.5 * (trace - 2 + (vy * shift * shift) / det);
  return { w2, low: shift, kl, bures, covariance: [vx, vxy, vy] };
}

/** The best plan moves x to m + A (x − m_u): A = S_u^-½ (S_u^½ S_v S_u^½)^½ S_u^-½, as [xx, xy, yy]; u stands upright. */
export function plan(thin, turn) {
  const [vx, vxy, vy] = covariance(thin, Math.PI / 2 + (turn * Math.PI) / 180);
  const [x, y] = [thin, LONG]; // spreads of u
  const [p, q, r] = [x * x * vx, x * y * vxy, y * y * vy]; // S_u^½ S_v S_u^½
  const root = Math.sqrt(Math.max(0, p * r - q * q));
  const size = Math.sqrt(p + r + 2 * root);
  return [(p + root) / size / (x * x), q / size / (x * y), (r + root) / size / (y * y)];
}
