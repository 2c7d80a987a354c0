// Theorem 2.3: from distance and content mismatch to a disc of gradients. No drawing here.

const TINY = 1e-12;

/**
 * g = ‖g_u‖, w = W1(q_u, q_v), lipschitz = K, mismatch = Δ_x(u, v); (along, across): g_v in the plane, its part along g_u
 * first; smoothness = M, with ∇L_u M-Lipschitz along the step.
 */
export function compute({ g, w, lipschitz, mismatch, along, across, smoothness = 1 }) {
  const penalty = lipschitz * w + mismatch; // D ≥ ‖g_u − g_v‖
  const left = Math.max(0, g - mismatch);
  const radius = lipschitz > 0 ? left / lipschitz : left > 0 ? Infinity : 0;
  const least = g * (g - penalty); // what ⟨g_u, g_v⟩ is at least
  const inner = g * along;
  const other = Math.hypot(along, across);
  const room = g - penalty; // 0 at the border, but for rounding
  const step = room > TINY ? (2 * least) / (smoothness * other ** 2) : 0;
  return {
    penalty,
    radius,
    least,
    inner,
    slack: inner - least,
    apart: Math.hypot(along - g, across), // ‖g_u − g_v‖
    certified: Number(room > TINY),
    border: Number(Math.abs(room) <= TINY),
    polarised: Number(penalty ** 2 < g ** 2 + other ** 2),
    step,
  };
}
