"""Labels of users and items as arrays on disk."""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np


def pack_labels(key: str, labels: np.ndarray) -> dict[str, np.ndarray]:
    """Integers as they are; strings as UTF-8 bytes and offsets."""
    labels = np.asarray(labels)
    if labels.dtype.kind in "iu":
        return {key: labels.astype(np.int64)}
    encoded = [str(s).encode() for s in labels.tolist()]
    offsets = np.concatenate([[0], np.cumsum([len(s) for s in encoded], dtype=np.int64)])
    return {f"{key}.utf8": np.frombuffer(b"".join(encoded), np.uint8), f"{key}.offsets": offsets}


def unpack_labels(arrays: Mapping[str, np.ndarray], key: str) -> np.ndarray | None:
    """Labels as they stand in a file: integers, or text with its offsets; None where there are none."""
    if f"{key}.utf8" not in arrays:
        return integers(arrays, key) if key in arrays else None
    text, at = arrays[f"{key}.utf8"].tobytes(), integers(arrays, f"{key}.offsets").tolist()
    if at != sorted(at) or at[:1] != [0] or at[-1] != len(text):
        raise ValueError(f"{key}.offsets do not cut the text into labels")
    return np.array([text[a:b].decode() for a, b in pairwise(at)], dtype=str)


def integers(arrays: Mapping[str, np.ndarray], key: str) -> np.ndarray:
    """A list of whole numbers, and nothing that could be cast to one."""
    a = arrays[key]
    if a.ndim != 1 or a.dtype.kind != "i":
        raise TypeError(f"{key} must be a list of integers, not {a.dtype} of shape {a.shape}")
    return a
