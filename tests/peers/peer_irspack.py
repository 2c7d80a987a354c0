"""irspack's Mult-VAE (JAX and Haiku), trained by its own epoch."""

import harness
from irspack.recommenders.multvae import MultVAETrainer


def start(train, job):
    peer = MultVAETrainer(
        train,
        dim_z=job.latent,
        enc_hidden_dim=job.hidden,
        dec_hidden_dim=job.hidden,
        dropout_p=0.5,
        l2_regularizer=0.0,
        kl_anneal_goal=job.beta,
        anneal_end_epoch=job.anneal_steps * job.batch / train.shape[0],
        minibatch_size=job.batch,
        learning_rate=job.lr,
    )

    def fit(tick):
        for _ in range(job.epochs):
            peer.run_epoch()
            tick()

    return fit, peer.get_score_cold_user


harness.main(start)
