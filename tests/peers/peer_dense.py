"""Mult-VAE as the official PyTorch codes write it: dense rows, dropout, log-softmax (tests/speed/rivals.py)."""

import sys
from pathlib import Path

import harness
import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "speed"))
from rivals import DenseMultVAE, dense_step


def start(train, job):
    torch.manual_seed(job.seed)
    torch.set_num_threads(job.threads)
    model = DenseMultVAE(train.shape[1], job.hidden, job.latent)
    for p in model.parameters():  # as published; PyTorch's default differs
        if p.ndim == 2:
            torch.nn.init.xavier_uniform_(p)
        else:
            torch.nn.init.trunc_normal_(p, std=1e-3, a=-2e-3, b=2e-3)
    optimizer = torch.optim.Adam(model.parameters(), lr=job.lr)

    def fit(tick):
        model.train()
        updates, rng = 0, np.random.default_rng(job.seed)
        for _ in range(job.epochs):
            order = rng.permutation(train.shape[0])
            for a in range(0, len(order), job.batch):
                beta = min(job.beta, job.beta * updates / job.anneal_steps)
                dense_step(model, optimizer, train[order[a : a + job.batch]], beta)
                updates += 1
            tick()

    @torch.no_grad()
    def score(history):
        return model.eval()(torch.from_numpy(history.toarray()))[0].numpy()

    return fit, score


harness.main(start)
