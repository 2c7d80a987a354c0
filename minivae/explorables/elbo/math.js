// The evidence lower bound of a decoder with one dimension of taste and six items, exact by quadrature. No drawing here.
import { grid, integrate, klToPrior, logNormal, logSumExp, normal } from "../kit/numerics.js";

const CENTRES = [-3, -1.8, -0.6, 0.6, 1.8, 3]; // where each item is most likely
export const USERS = { light: [0, 0, 0, 0, 1, 0], heavy: [0, 0, 1, 1, 1, 1] };

/** log π_i(z) of the six items: softmax of c z − c²/2. */
export function logProbabilities(z) {
  const logits = CENTRES.map((c) => c * z - (c * c) / 2);
  const top = logSumExp(logits);
  return logits.map((f) => f - top);
}

/** log p(x|z) without log N!, which no model changes. */
export const logLikelihood = (z, items) => logProbabilities(z).reduce((sum, l, i) => sum + items[i] * l, 0);

const PRIOR = grid([0], [1]);

/** mu, sd of q(z) = N(mu, sd²); beta = β; user = "light" or "heavy". */
export function compute({ mu, sd, beta, user }) {
  const items = USERS[user];
  const nodes = grid([mu, 0], [sd, 1]);
  const evidence = Math.log(integrate(PRIOR, (z) => normal(z) * Math.exp(logLikelihood(z, items))));
  const fit = -integrate(nodes, (z) => normal(z, mu, sd) * logLikelihood(z, items));
  const kl = klToPrior(mu, sd);
  const posterior = (z) => logNormal(z) + logLikelihood(z, items) - evidence;
  const gap = integrate(nodes, (z) => normal(z, mu, sd) * (logNormal(z, mu, sd) - posterior(z)));
  return { fit, kl, gap, elbo: -fit - kl, evidence, objective: fit + beta * kl };
}
