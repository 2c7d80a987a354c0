"""What items are called, as an array in which the padding of recommendations is no item."""

from __future__ import annotations

from typing import Any

import numpy as np

from minivae.errors import InputError

PADDING = -1


class ItemLabels(np.ndarray):
    """(I,) labels or titles of items; of an array of positions, −1 has no label.

    `recommend` fills a row with −1 where a user has fewer than k new items. In any other array −1 is the last entry, so
    the last item of the catalogue would be shown to people. Here it is left out. A plain ``labels[-1]`` is the last
    label, as always.

    Raises
    ------
    InputError
        If one entry of an array or tensor is looked up by itself and is −1.

    Examples
    --------
    >>> labels = ItemLabels.of(["tea", "milk", "rye"])
    >>> labels[np.array([2, 0])].tolist(), labels[np.array([2, -1])].tolist()
    (['rye', 'tea'], ['rye'])
    >>> [row.tolist() for row in labels[np.array([[2, 0], [1, -1]])]]  # one array for each user
    [['rye', 'tea'], ['milk']]
    """

    @classmethod
    def of(cls, labels: Any) -> ItemLabels:
        """The same labels, not copied."""
        return np.asarray(labels).view(cls)

    def __getitem__(self, at: Any) -> Any:
        if self.ndim != 1 or at is None or isinstance(at, int | slice | tuple | str):
            return super().__getitem__(at)
        positions = np.asarray(at)
        if positions.dtype.kind not in "iu":
            return super().__getitem__(at)
        if not positions.ndim:
            if positions == PADDING:
                raise InputError(
                    "−1 stands where no item is left to be recommended and has no label; leave it out, or look up the "
                    "whole array: split.item_labels[items]"
                )
            return super().__getitem__(int(positions))
        real = positions != PADDING
        if real.all():
            return super().__getitem__(positions)
        if positions.ndim == 1:
            return super().__getitem__(positions[real])
        rows = np.empty(positions.shape[:-1], object)
        for place in np.ndindex(rows.shape):
            rows[place] = self[positions[place]]
        return rows
