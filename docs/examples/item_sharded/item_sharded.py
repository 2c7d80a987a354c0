"""The multinomial loss with the items spread over processes, by PyTorch's DTensor; run under torchrun.

    torchrun --nproc-per-node 2 docs/examples/item_sharded/item_sharded.py

Every process holds I/R rows of the output matrix, their gradient, their moments of Adam and its columns of the
logits. Over the network go four numbers a user (largest logit, sum of exponentials, N, ⟨x, f⟩) and, backwards, the
gradient of the hidden layer, (B, H): nothing that grows with the items.
"""

import os
import sys

import scipy.sparse as sp
import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.debug import CommDebugMode

import minivae as mv
from minivae.batches import DeviceCSR

USERS, ITEMS, HIDDEN = 30, 101, 8  # 101 items on two processes: unequal shares


def sharded_nll(hidden: DTensor, weight: DTensor, bias: DTensor, x: DTensor) -> Tensor:
    """``ℓ = N log Σ_i e^{f_i} − ⟨x, f⟩`` of every user, (B,), with f = hidden Wᵀ + b split by items.

    Parameters
    ----------
    hidden : DTensor
        (B, H), the same in every process.
    weight, bias : DTensor
        (I, H) and (I,), split by their first dimension.
    x : DTensor
        (B, I), split by its second dimension.
    """
    logits = hidden @ weight.T + bias  # (B, I), split by items
    largest = logits.detach().amax(1).full_tensor()[:, None]  # a shift: it changes no value and no gradient
    shift = DTensor.from_local(largest, logits.device_mesh, [Replicate()])
    total = (logits - shift).exp().sum(1).full_tensor().log() + largest[:, 0]  # (B,)
    return x.sum(1).full_tensor() * total - (x * logits).sum(1).full_tensor()


def spread(mesh: DeviceMesh, full: Tensor, dim: int | None) -> DTensor:
    """A tensor that all processes have, split along a dimension (or kept whole)."""
    return distribute_tensor(full, mesh, [Replicate() if dim is None else Shard(dim)])


def main() -> None:
    dist.init_process_group("gloo")
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    rng = torch.Generator().manual_seed(0)
    shapes = ((USERS, HIDDEN), (ITEMS, HIDDEN), (ITEMS,))
    full = [torch.randn(shape, generator=rng, dtype=torch.float64) for shape in shapes]  # hidden layer, W, bias
    x = (torch.rand(USERS, ITEMS, generator=rng) < 0.1).double()

    parts = [spread(mesh, t, dim).requires_grad_() for t, dim in zip(full, (None, 0, 0), strict=True)]
    target = spread(mesh, x, 1)
    with CommDebugMode() as traffic:
        loss = sharded_nll(*parts, target).mean()
        loss.backward()

    whole = [t.clone().requires_grad_() for t in full]
    batch = DeviceCSR(sp.csr_matrix(x.numpy())).batch(torch.arange(USERS))
    expected = mv.multinomial_nll(*whole, batch)
    expected.backward()

    furthest = max(_apart(p.grad.full_tensor(), w.grad) for p, w in zip(parts, whole, strict=True))
    if dist.get_rank() == 0:
        print(f"items in this process: {len(parts[1].to_local())} of {ITEMS}")
        print(f"loss: {float(loss.detach()):.6f}, in one process {float(expected.detach()):.6f}")
        print(f"gradients: at most {furthest:.1e} apart")
        print("over the network:", {str(name): count for name, count in traffic.get_comm_counts().items()})
    dist.barrier()  # nobody leaves while another may still want an answer
    dist.destroy_process_group()


def _apart(a: Tensor, b: Tensor | None) -> float:
    assert b is not None
    return float((a - b).abs().max())


if __name__ == "__main__":
    main()
    # DTensor's caches keep the group, so gloo's threads outlive it; one that lets go of a tensor while the interpreter
    # is taken down would abort the process. Nothing is left to do: leave without that.
    sys.stdout.flush()
    os._exit(0)
