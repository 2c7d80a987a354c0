"""What to know of a split before its numbers are believed: protocol, leakage, signs of a degenerate study."""

from datetime import UTC, datetime

import numpy as np

from minivae.data.splits import FoldIn, StrongSplit
from minivae.errors import counted, option
from minivae.runtime.records import Record

FEW_TRAINING_USERS = 50
PROBED = 200  # test users for whom the ranking by popularity is compared in full
LIANG = {"n_heldout", "seed", "min_user", "min_item"}
FOLD = {"folds", "fold", "seed"}


def protocol_in_words(split: StrongSplit) -> str:
    """How the split was made, as far as that is known."""
    p, known = split.protocol, shared_users(split, split.test)
    if set(p) == LIANG and not known:
        return (
            "Strong generalization after Liang et al. (2018): test users are new; a fifth of their items is held out."
        )
    if set(p) == FOLD and not known:
        return (
            f"Fold {p['fold']} of {p['folds']} of the users: test users are new, and each is tested in one fold; a "
            "fifth of their items is held out."
        )
    if p.get("rule") == "time":
        first, second = moment(p["train_until"]), moment(p["validation_until"])
        return (
            f"Global cut in time: trained on what came before {first}, validated on what came before {second}, tested "
            "on the rest; the users are the training users, their items before the cut are the input."
        )
    if p.get("rule") == "last":
        return (
            "Leave the last out: each user's last item is for test, the one before for validation; the users are the "
            "training users." + "".join(f" {tie[0].upper()}{tie[1:]}." for tie in ties(split))
        )
    text = "The split was given by the user; how it was made is not known."
    if known:
        text += f" {known:,} of {split.test.n_users:,} test users are training users (weak generalization)."
    return text


def ties(split: StrongSplit) -> list[str]:
    """For how many users the order of the file decides which item is held out, a sentence for each part."""
    sentences = {
        "tied": "two items come last at the same time; the order of the file decides which is for test",
        "tied_validation": "the item for validation has the same time as the one before; the order of the file decides "
        "which is for validation and which for training",
    }
    users = f"{split.train.shape[0]:,} users"
    return [f"for {n:,} of {users} {text}" for name, text in sentences.items() if (n := split.protocol.get(name, 0))]


def moment(time: float) -> str:
    """A time as it stands in the data, and the date that it is if it counts seconds.

    >>> moment(1112486027.0), moment(17.5)
    ('1112486027 (2005-04-02 23:53:47 UTC, if these are seconds since 1970)', '17.5')
    """
    number = f"{time:.15g}"
    if not 10**8 <= time < 10**10:
        return number
    return f"{number} ({datetime.fromtimestamp(int(time), UTC):%Y-%m-%d %H:%M:%S} UTC, if these are seconds since 1970)"


def shared_users(split: StrongSplit, part: FoldIn) -> int | None:
    """How many users of a part were trained on too, by their labels; None where there are no labels."""
    if split.train_labels is None or part.user_labels is None:
        return None
    return int(np.isin(part.user_labels.astype(str), split.train_labels.astype(str)).sum())


class Finding(Record, frozen=True):
    """A question of the audit about one part: `number` of `of` (None where it cannot be known), and if it is a leak."""

    part: str
    question: str
    number: int | None
    of: int
    leak: bool


def leakage(split: StrongSplit) -> list[Finding]:
    """One row per question and part: what is asked, how many of how many, whether it is a leak.

    A shared user is a leak only where the protocol says that test users are new.
    """
    popular = np.bincount(split.train.indices, minlength=split.n_items)
    strong = set(split.protocol) in (LIANG, FOLD)
    rows = []
    for name in ("validation", "test"):
        part: FoldIn = getattr(split, name)
        both = part.history.multiply(part.heldout).nnz
        shared = shared_users(split, part)
        unseen = int((popular[part.heldout.indices] == 0).sum())
        empty = int(((np.diff(part.history.indptr) == 0) & (np.diff(part.heldout.indptr) > 0)).sum())
        rows += [
            Finding(name, "users who are training users", shared, part.n_users, strong and bool(shared)),
            Finding(name, "held-out events that are in the history too", both, part.heldout.nnz, both > 0),
            Finding(name, "held-out events of items that no training user has", unseen, part.heldout.nnz, False),
            Finding(name, "users with held-out items and no history", empty, part.n_users, False),
        ]
        if (early := split.protocol.get(f"{name}_before_train")) is not None:
            asked = "held-out events before the user's last training event"
            rows.append(Finding(name, asked, early, part.heldout.nnz, early > 0))
    return rows


def warnings(split: StrongSplit) -> list[str]:
    """Signs that the numbers of a study of this split mean little, one sentence each."""
    found = []
    n_train, n_test = split.train.shape[0], split.test.n_users
    if n_train < FEW_TRAINING_USERS or (n_train < n_test and set(split.protocol) == LIANG):
        few = f"only {counted(n_train, 'training user')} for {counted(n_test, 'test user')}"
        steps = list(split.filters.values())
        ways = [f"hold out fewer ({option('n_heldout')})"] if split.protocol.get("n_heldout", 1) > 1 else []
        if "min_user" in split.protocol and (not steps or steps[0][0] > steps[-1][0]):
            ways.append(f"lower {option('min_user')}")
        found.append(few + (f": {' or '.join(ways)}" if ways else ""))
    judged = int((np.diff(split.test.heldout.indptr) > 0).sum())
    if judged < 2:
        found.append(f"{judged} test user has held-out items: no mean over users, no error of it")
    left = split.n_items - np.diff(split.test.history.indptr) - np.diff(split.test.heldout.indptr)
    if judged and not left.any():
        found.append("every test user has every item: any order of the items is perfect; keep only the likes")
    elif judged and popularity_is_perfect(split):
        found.append("ranking by popularity alone is perfect: models cannot be compared on these data")
    counts = np.bincount(split.train.indices, minlength=split.n_items)
    if split.n_items > 1 and counts.min() == counts.max():
        found.append("all items have equally many training users: popularity ties everywhere")
    found += ties(split)
    leaks = [r for r in leakage(split) if r.leak]
    found += [f"leak in the {r.part} part: {r.number:,} of {r.of:,} {r.question}" for r in leaks]
    return found


def popularity_is_perfect(split: StrongSplit) -> bool:
    """Whether each of the first test users has the most popular of the items left, and nothing else."""
    counts = np.bincount(split.train.indices, minlength=split.n_items).astype(np.float64)
    users = np.flatnonzero(np.diff(split.test.heldout.indptr) > 0)[:PROBED]
    for user in users.tolist():
        heldout = split.test.heldout[user].indices
        others = counts.copy()
        others[split.test.history[user].indices] = -1
        others[heldout] = -1
        if not counts[heldout].min() > others.max():
            return False
    return users.size > 0
