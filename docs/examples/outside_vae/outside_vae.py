"""A VAE in plain PyTorch, trained by a loop of its own, and the one function that lets minivae look into it.

export PYTHONPATH=$PWD/docs/examples/outside_vae
minivae evaluate --model outside_vae:model --data planted
minivae theory --model outside_vae:model --data planted --out runs/outside-card
minivae explain --model outside_vae:model --data planted --out runs/outside-whom
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

import minivae as mv
from minivae.theory.adapter import Wrapped


class OutsideVAE(nn.Module):
    """Two layers on each side; the input is a dense row x/‖x‖."""

    def __init__(self, n_items: int, hidden: int = 100, latent: int = 16) -> None:
        super().__init__()
        self.inward = nn.Linear(n_items, hidden)
        self.mu, self.logvar = nn.Linear(hidden, latent), nn.Linear(hidden, latent)
        self.decoder = nn.Sequential(nn.Linear(latent, hidden), nn.Tanh(), nn.Linear(hidden, n_items))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the posterior, each (B, d)."""
        h = torch.tanh(self.inward(x))
        return self.mu(h), torch.exp(self.logvar(h) / 2)


def train(net: OutsideVAE, rows: Tensor, epochs: int = 10) -> None:
    """The usual loop: multinomial likelihood, β = 0.2, batches of 200, Adam."""
    adam = torch.optim.Adam(net.parameters(), lr=1e-3)
    for _ in range(epochs):
        for batch in torch.randperm(len(rows)).split(200):
            x = rows[batch]
            mu, sd = net.encode(functional.normalize(x))
            logits = net.decoder(mu + sd * torch.randn_like(sd))
            nll = -(x * functional.log_softmax(logits, dim=1)).sum(1)
            kl = (mu**2 + sd**2 - 1).sum(1) / 2 - torch.log(sd).sum(1)
            adam.zero_grad()
            (nll + 0.2 * kl).mean().backward()
            adam.step()


def model() -> Wrapped:
    """What `--model outside_vae:model` calls: the outside model, ready to be looked into.

    A model of your own is loaded from its file here. Its columns must be the items of `--data`, in the same order.
    """
    torch.manual_seed(0)
    split = mv.strong_split(mv.planted(), n_heldout=2_000)
    net = OutsideVAE(split.n_items)
    train(net, torch.tensor(split.train.toarray(), dtype=torch.float32))
    return mv.theory.wrap(encode=net.encode, decode=net.decoder, normalize=True)
