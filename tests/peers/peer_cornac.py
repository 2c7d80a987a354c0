"""Cornac's VAECF, trained by its own loop. Another model: no mask, no normalisation, β constant.

Its public `score` refuses unknown users, so held-out users are scored by its network directly.
"""

import harness
import torch
from cornac.data import Dataset
from cornac.models.vaecf.vaecf import VAE, learn


class Ticking(Dataset):
    """Tells when an epoch is over: the loop asks for the users once an epoch."""

    def user_iter(self, batch_size=1, shuffle=False):
        yield from super().user_iter(batch_size, shuffle)
        self.tick()


def start(train, job):
    torch.set_num_threads(job.threads)
    torch.manual_seed(job.seed)
    coo = train.tocoo()
    labels = [{k: k for k in range(n)} for n in train.shape]
    data = Ticking(*train.shape, *labels, (coo.row, coo.col, coo.data), seed=job.seed)
    model = VAE(job.latent, [train.shape[1], job.hidden], "tanh", "mult")

    def fit(tick):
        data.tick = tick
        learn(model, data, job.epochs, job.batch, learn_rate=job.lr, beta=job.beta, verbose=False)

    @torch.no_grad()
    def score(history):
        mu, _ = model.encode(torch.from_numpy(history.toarray()))
        return model.decode(mu).log().numpy()

    return fit, score


harness.main(start)
