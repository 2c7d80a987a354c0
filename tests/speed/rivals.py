"""The usual way, as the official PyTorch ports of Mult-VAE write it: dense rows, dropout, log-softmax, argpartition.

It is what users have today and what the benchmarks of this folder compare with.
"""

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from torch import Tensor, nn


class DenseMultVAE(nn.Module):
    """I - 600 - 200 - 600 - I on dense float32 rows."""

    def __init__(self, n_items: int, hidden: int = 600, latent: int = 200) -> None:
        super().__init__()
        self.latent = latent
        self.q1, self.q2 = nn.Linear(n_items, hidden), nn.Linear(hidden, 2 * latent)
        self.p1, self.p2 = nn.Linear(latent, hidden), nn.Linear(hidden, n_items)
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h = torch.tanh(self.q1(self.drop(F.normalize(x))))
        mu, logvar = self.q2(h).split(self.latent, dim=1)
        z = mu + torch.randn_like(mu) * torch.exp(0.5 * logvar) if self.training else mu
        return self.p2(torch.tanh(self.p1(z))), mu, logvar


def dense_step(model: DenseMultVAE, optimizer: torch.optim.Adam, rows: sp.csr_matrix, beta: float) -> None:
    """One update on a CSR slice."""
    x = torch.FloatTensor(rows.toarray()).to(next(model.parameters()).device)
    logits, mu, logvar = model(x)
    bce = -torch.mean(torch.sum(F.log_softmax(logits, 1) * x, -1))
    kl = -0.5 * torch.mean(torch.sum(1 + logvar - mu.pow(2) - logvar.exp(), 1))
    optimizer.zero_grad()
    (bce + beta * kl).backward()
    optimizer.step()


def ndcg_at_k(scores: np.ndarray, heldout: sp.csr_matrix, k: int = 100) -> np.ndarray:
    """nDCG@k of a batch by argpartition and a sort of the selected part."""
    rows = np.arange(len(scores))[:, None]
    part = np.argpartition(-scores, k, axis=1)[:, :k]
    order = np.argsort(-scores[rows, part], axis=1)
    top = part[rows, order]
    discount = 1.0 / np.log2(np.arange(2, k + 2))
    dcg = (heldout[rows, top].toarray() * discount).sum(1)
    ideal = np.array([discount[: min(n, k)].sum() for n in heldout.getnnz(axis=1)])
    return dcg / ideal


def recall_at_k(scores: np.ndarray, heldout: sp.csr_matrix, k: int) -> np.ndarray:
    """Recall@k of a batch by argpartition and dense booleans."""
    rows = np.arange(len(scores))[:, None]
    chosen = np.zeros(scores.shape, dtype=bool)
    chosen[rows, np.argpartition(-scores, k, axis=1)[:, :k]] = True
    truth = (heldout > 0).toarray()
    return np.logical_and(truth, chosen).sum(1) / np.minimum(k, truth.sum(1))
