"""The protocol of Liang et al. (2018), row by row in plain Python: the oracle of the split and of the exported files.

Written from the published procedure, without a look at minivae. `trap` falls into one known mistake on purpose.
"""

from collections import Counter, defaultdict

import numpy as np

TRAPS = (
    "users before items",
    "filters iterated",
    "seed not reset",
    "vocabulary sorted",
    "vocabulary of all users",
    "ceil instead of floor",
    "short users held out",
    "users in file order",
    "ids sorted as text",
)


def prepare(rows, n_heldout, seed=98765, min_user=5, min_item=0, min_rating=None, trap=None):
    """Events (user, item, rating) in file order → file name → list of lines, as the original code writes them."""
    events = [(u, i) for u, i, r in rows if min_rating is None or r >= min_rating]
    events = list(dict.fromkeys(events))

    def filter_items(pairs):
        count = Counter(i for _, i in pairs)
        return [(u, i) for u, i in pairs if count[i] >= min_item]

    def filter_users(pairs):
        count = Counter(u for u, _ in pairs)
        return [(u, i) for u, i in pairs if count[u] >= min_user]

    first, second = (filter_users, filter_items) if trap == "users before items" else (filter_items, filter_users)
    events = second(first(events))
    if trap == "filters iterated":
        while (fewer := filter_users(filter_items(events))) != events:
            events = fewer

    users = sorted({u for u, _ in events}, key=str if trap == "ids sorted as text" else None)
    if trap == "users in file order":
        users = list(dict.fromkeys(u for u, _ in events))
    rng = np.random.RandomState(seed)
    users = [users[k] for k in rng.permutation(len(users))]
    n_train = len(users) - 2 * n_heldout
    uid = {u: k for k, u in enumerate(users)}
    train = [(u, i) for u, i in events if uid[u] < n_train]
    items = list(dict.fromkeys(i for _, i in (events if trap == "vocabulary of all users" else train)))
    if trap == "vocabulary sorted":
        items.sort()
    sid = {i: k for k, i in enumerate(items)}

    def table(pairs):
        return ["uid,sid", *(f"{uid[u]},{sid[i]}" for u, i in pairs)]

    files = {"unique_sid.txt": [str(i) for i in items], "train.csv": table(train)}
    rng = np.random.RandomState(seed)
    for name, first in (("validation", n_train), ("test", n_train + n_heldout)):
        if trap != "seed not reset":
            rng = np.random.RandomState(seed)
        rows_of = defaultdict(list)
        for u, i in events:
            if first <= uid[u] < first + n_heldout and i in sid:
                rows_of[u].append(i)
        history, heldout = [], []
        for u in sorted(rows_of):
            n = len(rows_of[u])
            chosen = set()
            if n >= 5 or trap == "short users held out":
                size = -(-n // 5) if trap == "ceil instead of floor" else int(0.2 * n)
                if trap == "short users held out":
                    size = max(1, size)
                chosen = set(rng.choice(n, size=size, replace=False).tolist())
            for k, i in enumerate(rows_of[u]):
                (heldout if k in chosen else history).append((u, i))
        files[f"{name}_tr.csv"] = table(history)
        files[f"{name}_te.csv"] = table(heldout)
    return files


def as_bytes(files):
    return {name: "".join(f"{line}\n" for line in lines).encode() for name, lines in files.items()}
