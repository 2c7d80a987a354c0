// The β-KL term: users on a line, each with the best posterior of a quadratic model. No drawing here.
import { grid, integrate, klToPrior, logNormal, logSumExp } from "../kit/numerics.js";

/** log of the mean density of all users, q̄(z) */
export const logCrowd = (z, mu, sd) => logSumExp(mu.map((m) => logNormal(z, m, sd))) - Math.log(mu.length);

/**
 * beta = β, surety = h, tastes = a of each user: the reconstruction of a user with taste a costs h/2 · E(z − a)² under its posterior. Then
 * h/2 (μ − a)² + h/2 σ² + β KL is least at μ = h a / (h + β), σ² = β / (h + β).
 */
export function compute({ beta, surety, tastes }) {
  const sd = Math.sqrt(beta / (surety + beta));
  const mu = tastes.map((a) => (surety * a) / (surety + beta));
  const nodes = grid(mu, mu.map(() => sd));
  const kls = mu.map((m) => klToPrior(m, sd));
  const density = (z) => mu.reduce((sum, m) => sum + Math.exp(logNormal(z, m, sd)), 0) / mu.length;
  const information = integrate(nodes, (z) => {
    const crowd = logCrowd(z, mu, sd);
    return mu.reduce((sum, m) => {
      const own = logNormal(z, m, sd);
      return sum + Math.exp(own) * (own - crowd);
    }, 0) / mu.length;
  });
  const marginal = integrate(nodes, (z) => density(z) * (logCrowd(z, mu, sd) - logNormal(z)));
  const radius = kls.map((kl) => Math.sqrt(2 * kl));
  return {
    mu,
    sd,
    kl: kls.reduce((a, b) => a + b, 0) / kls.length,
    information,
    marginal,
    ceiling: Math.log(mu.length),
    distance: Math.max(...mu) - Math.min(...mu), // W1 = W2 of the two ends: their spreads are equal
    bound: radius[mu.indexOf(Math.min(...mu))] + radius[mu.indexOf(Math.max(...mu))],
  };
}
