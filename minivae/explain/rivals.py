"""Other answers to "who helps whom", to be judged beside transfer: they need no gradients, or no training at all."""

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
import torch

from minivae.data.users import Users, as_csr, binary, shape_of
from minivae.explain.kernel import transfer
from minivae.explain.snapshots import Snapshot
from minivae.models.vae import VAE
from minivae.theory.numerics.coupling import coupled
from minivae.theory.numerics.samples import dense, float64_decoder, still

SCORES = (
    "transfer",
    "gradient cosine",
    "last checkpoint",
    "posterior distance",
    "transfer of another user",
    "activity",
    "Jaccard",
    "popularity overlap",
    "sharing radius",
)
"""The names of what `rival_scores` gives; the last one is asked for by `sharing`."""


def rival_scores(
    model: VAE,
    snapshots: Sequence[Snapshot],
    x: Users,
    receivers: Users,
    target: Users | None = None,
    n_samples: int = 0,
    sharing: bool = True,
) -> dict[str, np.ndarray]:
    """Every score by its name, (R, U) each; larger means that v is said to help u more.

    * transfer: ``T(u, v)`` of `transfer` over the snapshots;
    * gradient cosine: mean over the snapshots of ``⟨g_u, g_v⟩ / ‖g_u‖‖g_v‖``;
    * last checkpoint: ``⟨g_u, g_v⟩`` of the trained model alone;
    * posterior distance: ``−W2(q_u, q_v)``;
    * Jaccard: of what the two users have;
    * activity: N_v, the same for every u: what the sheer number of interactions explains;
    * transfer of another user: the rows of T in another order: what of T is the same for all users;
    * popularity overlap: ``Σ_{i∈S_u∩S_v} m_i``, m_i the number of training users of item i;
    * sharing radius: ``−D_uv = −(L_u W2 + Δ_x(u, v))`` of Theorem 2.3 at z = μ, with the largest local constant of u
        as L_u. A pair is certified if this is more than ``−‖g_u‖``.

    Parameters
    ----------
    model : VAE
        At the end of training.
    snapshots : sequence
        Of the same training.
    x : Users
        (U, I) training users.
    receivers : Users
    target : Users, optional
        As in `transfer`.
    n_samples : int, default 0
        As in `transfer`.
    sharing : bool, default True
        Whether to compute the last score, which costs a pass over all pairs with the decoder's hidden width.
    """
    csr, seen = binary(x, "x"), binary(receivers, "receivers")
    along, last = (transfer(m, csr, seen, target, n_samples) for m in (snapshots, model))
    with still(model), torch.no_grad():
        of_u, of_v = (torch.cat(model.encode(m), -1).double() for m in (seen, csr))  # (R, 2d), (U, 2d): μ and sd
    w2 = torch.cdist(of_u, of_v).cpu().numpy()
    a, b = (m.astype(bool).astype(np.float64) for m in (seen, csr))
    common = (a @ b.T).toarray()
    either = np.diff(seen.indptr)[:, None] + np.diff(csr.indptr) - common
    popularity = np.bincount(csr.indices, minlength=shape_of(csr)[1]).astype(float)
    scores = {
        "transfer": along.total,
        "gradient cosine": along.cosine,
        "last checkpoint": last.total,
        "posterior distance": -w2,
        "transfer of another user": np.roll(along.total, len(along.total) // 2, axis=0),
        "activity": np.broadcast_to(np.diff(csr.indptr).astype(float), common.shape),
        "Jaccard": common / np.maximum(either, 1),
        "popularity overlap": (a @ sp.diags(popularity) @ b.T).toarray(),
    }
    if sharing:
        scores["sharing radius"] = -penalties(model, csr, seen, seen if target is None else as_csr(target))
    return scores


def penalties(model: VAE, x: sp.csr_matrix, seen: sp.csr_matrix, goal: sp.csr_matrix, block: int = 100) -> np.ndarray:
    """``D_uv = L_u W2(q_u, q_v) + Δ_x(u, v)`` at z = μ, (R, U), L_u the largest local constant over all v."""
    with still(model), torch.no_grad():
        decoder = float64_decoder(model)
        (mu_u, sd_u), (mu_v, sd_v) = ((t.double() for t in model.encode(m)) for m in (seen, x))
        receivers, users = shape_of(seen)[0], shape_of(x)[0]
        result = np.empty((receivers, users))
        for a in range(0, receivers, block):
            u = slice(a, min(a + block, receivers))
            n = u.stop - u.start
            ratios, mismatches = [], []
            for b in range(0, users, block):
                v = slice(b, min(b + block, users))
                z = torch.cat([mu_u[u], mu_v[v]])
                rows = torch.cat([dense(goal, u, z), dense(x, v, z)])
                pair = coupled(decoder, z[:, None], rows)
                ratios.append(pair.ratio[:n, n:])
                mismatches.append(pair.mismatch[:n, n:])
            constant = torch.cat(ratios, 1).amax(1, keepdim=True)
            w2 = torch.cdist(torch.cat([mu_u[u], sd_u[u]], -1), torch.cat([mu_v, sd_v], -1))
            result[u] = (constant * w2 + torch.cat(mismatches, 1)).cpu().numpy()
    return result
