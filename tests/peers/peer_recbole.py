"""RecBole's MultiVAE, trained by its own loader and its own epoch, untouched.

It reads a file of interactions (peak memory includes that) and one of items, for those that no training user has. It
numbers items as they come, after a padding item 0, and makes rows from a table of users × longest history. It scores
trained users only, so held-out users are scored by its network directly. `latent_dimension` is twice the latent size,
and β climbs by 1/total_anneal_steps an update.

RecBole's trainer opens a TensorBoard log in the current folder, so it is made while that is a temporary one.
"""

import contextlib
import tempfile
from pathlib import Path

import harness
import torch
from recbole.config import Config
from recbole.data import create_dataset
from recbole.data.utils import get_dataloader
from recbole.model.general_recommender import MultiVAE
from recbole.trainer import Trainer
from recbole.utils import init_seed


def start(train, job):
    torch.set_num_threads(job.threads)
    items = [str(i) for i in range(train.shape[1])]
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        data = Path("data")
        data.mkdir()
        with open(data / "data.inter", "w", encoding="utf-8") as file:
            file.write("user_id:token\titem_id:token\n")
            file.writelines(f"{u}\t{i}\n" for u, i in zip(*train.nonzero(), strict=True))
        (data / "data.item").write_text("\n".join(["item_id:token", *items]) + "\n", encoding="utf-8")
        settings = {
            "data_path": folder,
            "checkpoint_dir": folder,
            "load_col": {"inter": ["user_id", "item_id"], "item": ["item_id"]},
            "eval_args": {"split": {"RS": [1, 0, 0]}, "group_by": "none", "order": "RO", "mode": "full"},
            "gpu_id": "",
            "seed": job.seed,
            "mlp_hidden_size": [job.hidden],
            "latent_dimension": 2 * job.latent,
            "dropout_prob": 0.5,
            "anneal_cap": job.beta,
            "total_anneal_steps": round(job.anneal_steps / job.beta),
            "train_batch_size": job.batch,
            "learning_rate": job.lr,
            "epochs": job.epochs,
        }
        config = Config(MultiVAE, "data", config_dict=settings)
        init_seed(job.seed, reproducibility=True)
        dataset = create_dataset(config)
        everything = dataset.build()[0]
        loader = get_dataloader(config, "train")(config, everything, None, shuffle=True)
        model = MultiVAE(config, everything)
        trainer = Trainer(config, model)
        trainer.tensorboard.close()
    columns = torch.from_numpy(dataset.token2id("item_id", items))

    def fit(tick):
        for epoch in range(job.epochs):
            trainer._train_epoch(loader, epoch)
            tick()

    @torch.no_grad()
    def score(history):
        rows = torch.zeros(history.shape[0], model.n_items)
        rows[:, columns] = torch.from_numpy(history.toarray())
        return model.eval()(rows)[0][:, columns].numpy()

    return fit, score


harness.main(start)
