"""RecPack's MultVAE, trained by its own epoch, untouched.

Its β climbs by 1/anneal_steps an update, past its cap (recpack/algorithms/mult_vae.py, `_beta`). `anneal_steps` is set
so that β reaches the cap where everybody's does; what it does afterwards is the library's.
"""

import harness
import torch
from recpack.algorithms import MultVAE
from recpack.algorithms.util import naive_sparse2tensor


def start(train, job):
    torch.set_num_threads(job.threads)
    torch.manual_seed(job.seed)
    peer = MultVAE(
        batch_size=job.batch,
        max_epochs=job.epochs,
        learning_rate=job.lr,
        seed=job.seed,
        dim_bottleneck_layer=job.latent,
        dim_hidden_layer=job.hidden,
        max_beta=job.beta,
        anneal_steps=round(job.anneal_steps / job.beta),
    )
    peer._init_model(train)

    def fit(tick):
        peer.model_.train()
        for _ in range(job.epochs):
            peer._train_epoch(train)
            tick()

    @torch.no_grad()
    def score(history):
        return peer.model_.eval()(naive_sparse2tensor(history))[0].numpy()

    return fit, score


harness.main(start)
