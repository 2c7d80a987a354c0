"""The first layer of an encoder, worked by hand: whose weights are summed, and in what precision."""

import pytest
import torch

from minivae.batches import UserBatch
from minivae.models.sparse_linear import SparseLinear, products_in

ITEMS, OFFSETS = [3, 0, 2, 1, 3], [0, 3, 3, 5]
WEIGHTS = [0.5, 0.0, 1.0, 0.0, 2.0]  # masked ones, those of weight 1, others; the second user has no item
EXPECTED = [[104.0, 207.0], [100.0, 200.0], [108.0, 216.0]]
"""b + 0.5 W_3 + W_2; b alone; b + 2 W_3, with W_2 = (2, 3), W_3 = (4, 8)."""


def layer():
    made = SparseLinear(4, 2)
    with torch.no_grad():
        made.weight.copy_(torch.tensor([[1000.0, 2000.0], [3000.0, 5000.0], [2.0, 3.0], [4.0, 8.0]]))
        made.bias.copy_(torch.tensor([100.0, 200.0]))
    return made


def batch():
    offsets = torch.tensor(OFFSETS)
    return UserBatch(
        users=torch.arange(3),
        items=torch.tensor(ITEMS),
        rows=torch.tensor([0, 0, 0, 2, 2]),
        offsets=offsets,
        bounds=offsets,
        counts=torch.tensor([3.0, 0.0, 2.0]),
        positions=torch.arange(5),
        weights=torch.tensor(WEIGHTS),
    )


def test_each_user_gets_the_rows_of_its_own_unmasked_items():
    assert layer()(batch()).tolist() == EXPECTED
    rows = torch.tensor([[0.0, 0.0, 1.0, 0.5], [0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 2.0]])
    assert layer()(rows).tolist() == EXPECTED


def test_a_masked_item_learns_nothing():
    made = layer()
    made(batch()).sum().backward()
    assert made.weight.grad.tolist() == [[0.0, 0.0], [0.0, 0.0], [1.0, 1.0], [2.5, 2.5]]
    assert made.bias.grad.tolist() == [3.0, 3.0]


def test_the_precision_of_products_ends_with_its_block():
    made = SparseLinear(1, 1)
    fine = 1 + 2**-10  # bfloat16 has 8 binary digits: it is 1 there
    with torch.no_grad():
        made.weight.fill_(fine)
        made.bias.zero_()
    x = torch.ones(1, 1)
    assert made(x).item() == fine
    with products_in(torch.bfloat16):
        assert (made(x).item(), made(x).dtype) == (1.0, torch.float32)
        with products_in(None):
            assert made(x).item() == fine
        assert made(x).item() == 1.0
    assert made(x).item() == fine
    with pytest.raises(RuntimeError, match="inside"), products_in(torch.bfloat16):
        raise RuntimeError("inside")
    assert made(x).item() == fine
