"""minivae's Mult-VAE by the public pieces that `fit` is made of, without validation."""

import harness
import torch

import minivae as mv
from minivae.runtime import streams
from minivae.runtime.memory import keep_freed_memory
from minivae.update import Trainer


def start(train, job):
    torch.set_num_threads(job.threads)
    keep_freed_memory()
    config = mv.TrainConfig(
        seed=job.seed,
        batch_size=job.batch,
        lr=job.lr,
        beta=job.beta,
        anneal_steps=job.anneal_steps,
        epochs=job.epochs,
        precision=job.precision,
    )
    model = mv.MultVAE(train.shape[1], job.hidden, job.latent)
    model.reset_parameters(torch.Generator().manual_seed(job.seed))
    trainer = Trainer.make(model, train, config)

    def fit(tick):
        model.train()
        updates = 0
        for passed in range(job.epochs):
            for users in streams.permutation(job.seed, passed, train.shape[0]).split(job.batch):
                trainer.update(users, updates)
                updates += 1
            tick()

    def score(history):
        return model.eval().score(history).numpy()

    return fit, score


harness.main(start)
