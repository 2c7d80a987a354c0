"""The self-checks of the learner's recommender take what is right, and say of what is wrong what is wrong with it."""

import torch

from minivae import checks


def mine_nll(logits, x):
    """By enumeration of the user's items."""
    rows = []
    for f, own in zip(logits, x, strict=True):
        log_pi = (f.exp() / f.exp().sum()).log()
        rows.append(-sum(log_pi[i] for i in own.nonzero()[:, 0]))
    return torch.stack(rows)


def mine_kl(mu, logvar):
    """Cross entropy minus entropy."""
    sd = (logvar / 2).exp()
    cross = (mu**2 + sd**2 + torch.log(torch.tensor(2 * torch.pi, dtype=mu.dtype))) / 2
    return (cross - torch.distributions.Normal(mu, sd).entropy()).sum(1)


def mine_certificate(mu, sd, norm, mismatch, K):
    place = torch.cat([mu, sd], 1)
    return torch.relu(norm[:, None] - mismatch) / K[:, None] - (place[:, None] - place).norm(dim=-1)


def mine_objective(nll, kl, step, beta, rise):
    weight = beta if step >= rise else beta * step / rise
    return (nll.sum() + weight * kl.sum()) / len(nll)


def mine_input(x, keep, coins):
    return torch.where(coins < keep, torch.nn.functional.normalize(x) / keep, 0.0)


def mine_anchor(mu, logvar, anchors, x):
    """By the three terms of Proposition 3.1."""
    share = x / x.sum(1, keepdim=True)
    centre = share @ anchors
    scatter = share @ anchors.square().sum(1) - centre.square().sum(1)
    return (mu - centre).square().sum(1) + logvar.exp().sum(1) + scatter


def mine_ndcg(scores, history, heldout, k):
    ranked = scores.masked_fill(history > 0, -torch.inf).argsort(descending=True)[:, :k]
    gain = 1 / torch.log2(torch.arange(k, dtype=torch.float64) + 2)
    best = gain.cumsum(0)[heldout.sum(1).long().clamp(max=k) - 1]
    return (heldout.gather(1, ranked) @ gain) / best


def mine_loss(net, x, coins, noise, step, keep=0.5, rho=0.5, anchor=1.0, rise=300):
    """From the parts above."""
    mu, logvar = net["encoder"](mine_input(x, keep, coins) * keep / rho).chunk(2, 1)
    logits = net["decoder"](mu + (logvar / 2).exp() * noise)
    objective = mine_objective(mine_nll(logits, x), mine_kl(mu, logvar), step, 0.2, rise)
    return objective + anchor * mine_anchor(mu, logvar, net["anchors"].weight, x).mean()


def of_what_was_seen(net, x, coins, noise, step, likelihood):
    """Likelihood or anchors of the masked items only."""
    mu, logvar = net["encoder"](mine_input(x, 0.5, coins)).chunk(2, 1)
    logits, seen = net["decoder"](mu + (logvar / 2).exp() * noise), x * (coins < 0.5)
    nll = -((seen if likelihood else x) * logits.log_softmax(1)).sum(1)
    far = torch.cdist(mu, net["anchors"].weight).square()
    of = x if likelihood else seen
    pull = (of * far).sum(1) / of.sum(1).clamp_min(1) + logvar.exp().sum(1)
    return mine_objective(nll, mine_kl(mu, logvar), step, 0.2, 300) + pull.mean()


def with_noise_of(net, x, coins, noise, step, spread):
    _, logvar = net["encoder"](mine_input(x, 0.5, coins)).chunk(2, 1)
    return mine_loss(net, x, coins, spread(logvar) / (logvar / 2).exp() * noise, step)


RIGHT = [
    (checks.check_mine_nll, mine_nll),
    (checks.check_mine_kl, mine_kl),
    (checks.check_mine_certificate, mine_certificate),
    (checks.check_mine_objective, mine_objective),
    (checks.check_mine_input, mine_input),
    (checks.check_mine_anchor, mine_anchor),
    (checks.check_mine_ndcg, mine_ndcg),
    (checks.check_mine_loss, mine_loss),
]


def gains_from_rank_two(scores, history, heldout, k):
    ranked = scores.masked_fill(history > 0, -torch.inf).argsort(descending=True)[:, :k]
    gain = 1 / torch.log2(torch.arange(k, dtype=torch.float64) + 3)
    return (heldout.gather(1, ranked) @ gain) / gain.cumsum(0)[heldout.sum(1).long().clamp(max=k) - 1]


def best_of_all_ranks(scores, history, heldout, k):
    gain = 1 / torch.log2(torch.arange(k, dtype=torch.float64) + 2)
    best = gain.cumsum(0)[heldout.sum(1).long().clamp(max=k) - 1]
    return mine_ndcg(scores, history, heldout, k) * best / gain.sum()


MISTAKES = [
    (checks.check_mine_nll, lambda f, x: f.logsumexp(1) - (x * f).sum(1), "each of the N draws"),
    (checks.check_mine_nll, lambda f, x: mine_nll(f, x) / f.shape[1], "items of a user are summed"),
    (checks.check_mine_nll, lambda f, x: mine_nll(f, x) / x.sum(1), "they are summed"),
    (checks.check_mine_nll, lambda f, x: -mine_nll(f, x), "other sign"),
    (checks.check_mine_nll, lambda f, x: mine_nll(f, x).sum(), "one number a user"),
    (checks.check_mine_kl, lambda m, s: mine_kl(m, 2 * s), "log σ²"),
    (checks.check_mine_kl, lambda m, s: 2 * mine_kl(m, s), "factor ½"),
    (checks.check_mine_kl, lambda m, s: mine_kl(m, s) / m.shape[1], "add up"),
    (checks.check_mine_kl, lambda m, s: -mine_kl(m, s), "negative"),
    (
        checks.check_mine_certificate,
        lambda m, s, g, d, K: torch.relu(g - d) / K - torch.cdist(torch.cat([m, s], 1), torch.cat([m, s], 1)),
        "of u count",
    ),
    (
        checks.check_mine_certificate,
        lambda m, s, g, d, K: (g[:, None] - d) / K[:, None] - torch.cdist(torch.cat([m, s], 1), torch.cat([m, s], 1)),
        "there it is 0",
    ),
    (
        checks.check_mine_certificate,
        lambda m, s, g, d, K: (
            torch.relu(g[:, None] - d) / K[:, None] - torch.cdist(torch.cat([m, s], 1), torch.cat([m, s], 1)).square()
        ),
        "W₂², not W₂",
    ),
    (
        checks.check_mine_certificate,
        lambda m, s, g, d, K: torch.relu(g[:, None] - d) / K[:, None] - torch.cdist(m, m),
        "means alone",
    ),
    (
        checks.check_mine_certificate,
        lambda m, s, g, d, K: torch.relu(g[:, None] - d) / K[:, None],
        "radius alone",
    ),
    (checks.check_mine_objective, lambda a, b, t, beta, r: mine_objective(a, b, t, beta, r) * len(a), "a sum over"),
    (checks.check_mine_objective, lambda a, b, t, beta, r: (a + beta * b).mean(), "no rise"),
    (checks.check_mine_objective, lambda a, b, t, beta, r: (a + beta * t / r * b).mean(), "goes on rising"),
    (checks.check_mine_objective, lambda a, b, t, beta, r: (a + min(beta, t / r) * b).mean(), "cut at beta"),
    (
        checks.check_mine_input,
        lambda x, keep, c: torch.nn.functional.normalize(x * (c < keep)),
        "order of Mult-VAE",
    ),
    (checks.check_mine_input, lambda x, keep, c: keep * mine_input(x, keep, c), "not divided by ρ"),
    (checks.check_mine_input, lambda x, keep, c: torch.nn.functional.normalize(x) * (c >= keep) / keep, "hides"),
    (checks.check_mine_input, lambda x, keep, c: x * (c < keep), "raw"),
    (checks.check_mine_input, lambda x, keep, c: x / x.sum(1, keepdim=True) * (c < keep) / keep, "√N"),
    (checks.check_mine_anchor, lambda m, s, e, x: mine_anchor(m, s, e, x) - s.exp().sum(1), "spread of the posterior"),
    (
        checks.check_mine_anchor,
        lambda m, s, e, x: mine_anchor(m, s, e, x) - s.exp().sum(1) + (s / 2).exp().sum(1),
        "σ in place of σ²",
    ),
    (
        checks.check_mine_anchor,
        lambda m, s, e, x: (m - x @ e / x.sum(1, keepdim=True)).square().sum(1) + s.exp().sum(1),
        "scatter",
    ),
    (checks.check_mine_anchor, lambda m, s, e, x: x.sum(1) * mine_anchor(m, s, e, x), "their mean is wanted"),
    (
        checks.check_mine_anchor,
        lambda m, s, e, x: torch.cdist(m, e).square().mean(1) + s.exp().sum(1),
        "the user's items count",
    ),
    (checks.check_mine_ndcg, lambda s, h, y, k: mine_ndcg(s, 0 * h, y, k), "history in it"),
    (checks.check_mine_ndcg, gains_from_rank_two, "rank 1"),
    (checks.check_mine_ndcg, best_of_all_ranks, "min\\(k, n\\)"),
    (checks.check_mine_ndcg, lambda s, h, y, k: mine_ndcg(s, h, y, k).mean(), "one number a user"),
    (checks.check_mine_loss, lambda *a: mine_loss(*a, anchor=0), "without the anchor term"),
    (checks.check_mine_loss, lambda *a: mine_loss(*a, anchor=-1), "wrong sign"),
    (checks.check_mine_loss, lambda *a: mine_loss(*a, keep=1.0, rho=1.0), "whole input"),
    (checks.check_mine_loss, lambda *a: mine_loss(*a, rho=1.0), "not divided by ρ"),
    (checks.check_mine_loss, lambda *a: of_what_was_seen(*a, likelihood=True), "the target is the whole x"),
    (checks.check_mine_loss, lambda *a: of_what_was_seen(*a, likelihood=False), "of the whole x count"),
    (checks.check_mine_loss, lambda *a: with_noise_of(*a, spread=torch.exp), "noise times σ²"),
    (checks.check_mine_loss, lambda *a: with_noise_of(*a, spread=torch.zeros_like), "without noise"),
    (checks.check_mine_loss, lambda *a: len(a[1]) * mine_loss(*a), "a sum over"),
    (checks.check_mine_loss, lambda *a: mine_loss(*a, rise=1), "without its rise"),
]
