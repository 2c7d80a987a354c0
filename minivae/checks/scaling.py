"""Self-checks of chapter 11: operations, gradients of several processes, and whether a decoder hears its noise."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from minivae.checks.comparison import Compared, self_check


@self_check
def check_epoch_operations(fn: Callable[[int, int, int, int, int], int], generator: torch.Generator) -> Compared:
    """Chapter 11, exercise 1: ``fn(users, interactions, batch, items, hidden)`` gives the operations of an epoch."""
    draw = [int(torch.randint(low, high, (), generator=generator)) for low, high in ((40, 90), (400, 900), (7, 13))]
    batch, items, hidden = draw[2], draw[1] // 10, draw[2] + 3
    full, interactions = draw[0], draw[1]
    users = full * batch + 1  # the last batch has one user
    updates = full + 1
    products, bag, adam = 6 * hidden * items, 4 * interactions * hidden, 24 * hidden * items

    def total(rows: float, steps: float) -> Tensor:
        return torch.tensor(rows * products + bag + steps * adam, dtype=torch.float64)

    wrong = {
        "the last batch as if it were full: the products see each user once": total(updates * batch, updates),
        "the last update left out": total(users, full),
        "Adam once a user, not once an update": total(users, users),
        "one update, not an epoch": torch.tensor(batch * products + bag + adam, dtype=torch.float64),
        "the input layer once an update": total(users, updates) + (updates - 1) * bag,
    }
    return Compared(fn(users, interactions, batch, items, hidden), total(users, updates), wrong)


@self_check
def check_global_gradient(fn: Callable[[Tensor, Tensor], Tensor], generator: torch.Generator) -> Compared:
    """Chapter 11, exercise 2: ``fn(means, rows)`` gives the gradient of the mean over rows, (R, P), (R,) -> (P,)."""
    rows = torch.tensor([5, 2, 0, 1])
    single = torch.randn(int(rows.sum()), 6, generator=generator, dtype=torch.float64)
    means = torch.stack([part.mean(0) for part in single.split(rows.tolist())])  # (R, P), NaN where nothing is
    wrong = {
        "the mean of means": means[rows > 0].mean(0),
        "the sum over rows, not their mean": single.sum(0),
        "the shares of all processes, divided by their number": single.sum(0) / rows.sum() / len(rows),
    }
    return Compared(fn(means, rows), single.mean(0), wrong)


@self_check
def check_heard_noise(
    fn: Callable[[Callable[[Tensor], Tensor], Tensor, Tensor, Tensor], Tensor], generator: torch.Generator
) -> Compared:
    """Chapter 11, exercise 3: ``fn(decode, mu, sd, eps)`` gives the mean Jensen–Shannon divergence, in nats."""
    n_users, n_samples, latent, n_items = 4, 3, 2, 6
    net = nn.Sequential(nn.Linear(latent, 5), nn.Tanh(), nn.Linear(5, n_items)).double().requires_grad_(False)
    for p in net.parameters():
        p.copy_(2 * torch.randn(p.shape, generator=generator, dtype=p.dtype))
    mu, sd = (torch.randn(n_users, latent, generator=generator, dtype=torch.float64) for _ in range(2))
    sd = sd.abs() + 0.1
    eps = torch.randn(n_users, n_samples, latent, generator=generator, dtype=torch.float64)
    at_mean = net(mu).log_softmax(-1)[:, None].expand(-1, n_samples, -1)  # (U, S, I)
    at_sample = net(mu[:, None] + sd[:, None] * eps).log_softmax(-1)
    middle = torch.logaddexp(at_mean, at_sample) - torch.log(torch.tensor(2.0, dtype=torch.float64))

    def kl(a: Tensor, b: Tensor) -> Tensor:
        return nn.functional.kl_div(b, a, log_target=True, reduction="sum") / (n_users * n_samples)

    want = (kl(at_mean, middle) + kl(at_sample, middle)) / 2
    wrong = {
        "bits, not nats": want / torch.log(torch.tensor(2.0)),
        "KL(sample ‖ mean)": kl(at_sample, at_mean),
        "KL(mean ‖ sample)": kl(at_mean, at_sample),
        "the sum of both halves, not their mean": 2 * want,
        "the sum over users and samples, not their mean": n_users * n_samples * want,
        "the sum over users of the mean over samples": n_users * want,
    }
    return Compared(fn(net, mu, sd, eps), want, wrong)
