"""How much memory a training or a baseline takes, counted from the sizes of its arrays."""

from dataclasses import dataclass

import torch

from minivae.models.item_item import BLOCK
from minivae.objective import CHUNK_CELLS
from minivae.ranking import BLOCK_CELLS

LIBRARIES, LIBRARIES_OF_EASE = 95 << 20, 6 << 20


@dataclass(frozen=True)
class Memory:
    """Bytes that a run needs at its peak beside what the process holds already (libraries, the split), piece by piece.

    Attributes
    ----------
    libraries : int
        Code that is loaded at the first update or the first product, measured with torch 2.13 on Linux (EASE: 5.4 MB
        with 100 items).
    data : int
        The training matrix on the device.
    state : int
        Weights, gradients, Adam's two moments, and the weights of the best epoch, in float32.
    passing : int
        The most that lives beside them for a moment: of a VAE the logits of a block of users, in training or in
        ranking; of EASE the matrices of its solution.
    """

    libraries: int
    data: int
    state: int
    passing: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.libraries + self.data + self.state + self.passing


def vae_memory(
    n_parameters: int,
    n_kept: int,
    item_sized: int,
    shape: tuple[int, int],
    events: int,
    batch: int,
    products: torch.dtype,
    cuda: bool = False,
) -> Memory:
    """Peak of a VAE's run.

    With P parameters, and K numbers that are saved with a model (a prior may keep an older encoder): 4K bytes each for
    the model and its best epoch, 4P each for gradients and Adam's two moments. A checkpoint is written from where they
    are and needs no more. A step holds the item-sized output layer and its gradient once more each, in the precision of
    the products too if that is lower; three float32 matrices as large as the logits of a block of users; and some 160
    bytes for each interaction of the batch. Ranking holds three times the scores of its block.

    Parameters
    ----------
    n_parameters, n_kept, item_sized : int
        P, K, and how many of them the output layer has.
    shape : tuple[int, int]
        Number of training users, of items.
    events : int
        Interactions of the training users.
    batch : int
        Users per update.
    products : dtype
        Of the item-sized products.
    cuda : bool, default False
        Whether it runs on a GPU, where no library is loaded into this memory.
    """
    n_users, n_items = shape
    rows = min(batch, max(1, CHUNK_CELLS // n_items))
    layer = 8 * item_sized + (2 * products.itemsize * item_sized if products.itemsize < 4 else 0)
    training = layer + 12 * rows * n_items + 160 * events * batch // max(1, n_users)
    ranking = 12 * min(BLOCK_CELLS, n_users * n_items)
    return Memory(0 if cuda else LIBRARIES, 8 * events, 12 * n_parameters + 8 * n_kept, max(training, ranking))


def ease_memory(n_items: int, events: int, matrices: int = 1) -> Memory:
    """Peak of EASE: one I×I matrix of float32 (SLIM: five), blocks of rows, and the interactions twice."""
    return Memory(LIBRARIES_OF_EASE, 16 * events, 4 * matrices * n_items**2, 12 * BLOCK * n_items)
