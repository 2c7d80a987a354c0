"""The data sets that minivae knows: what they are, where they come from, and what is prepared on this machine."""

import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import numpy as np

from minivae.data.audit import Finding, leakage, protocol_in_words, warnings
from minivae.data.splits import StrongSplit, refuse_no_events
from minivae.errors import InputError
from minivae.runtime.records import Record

VARIABLE = "MINIVAE_DATA"


@dataclass(frozen=True)
class SplitProtocol:
    """The arguments of Liang et al.'s split that the published figures of a data set were measured with."""

    n_heldout: int
    min_rating: float | None = 4
    min_user: int = 5
    min_item: int = 0
    seed: int = 98765


@dataclass(frozen=True)
class Dataset:
    """One data set, and how to know it when one sees it.

    Parameters
    ----------
    raw_bytes : int
        Size of the raw file that is read, unpacked; an archive that unpacks to much more is refused.
    sources : tuple of str
        Addresses for the download, tried in order; none if a person has to fetch it.
    archive : mapping
        Algorithm → checksum of the download, where the publisher or independent copies give one.
    members : mapping
        Name → md5 of a file in the archive, for archives that others packed again.
    counts : mapping
        Step → number, in the order of the steps; steps after "ratings" hold for the default protocol only.
    files : mapping
        Name → "sha256:…" or "git:…" (blob id) of the files of the original code's layout, default protocol.
    """

    name: str
    title: str
    licence: str
    download: str
    needs: str
    obtain: str
    script: str
    protocol: SplitProtocol
    raw_bytes: int
    sources: tuple[str, ...] = ()
    archive: Mapping[str, str] = field(default_factory=dict)
    members: Mapping[str, str] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)


def read_datasets() -> dict[str, Dataset]:
    """The data sets of datasets.toml, by name."""
    tables = tomllib.loads((files("minivae.data") / "datasets.toml").read_text(encoding="utf-8"))
    found = {}
    for name, table in tables.items():
        protocol = table.pop("protocol")
        protocol["min_rating"] = None if protocol["min_rating"] == "none" else protocol["min_rating"]
        sources = tuple(table.pop("sources", ()))
        found[name] = Dataset(name=name, protocol=SplitProtocol(**protocol), sources=sources, **table)
    return found


DATASETS = read_datasets()


def folders(data: str | Path | None = None) -> list[Path]:
    """Where prepared data is looked for, in order: `data` if given, else $MINIVAE_DATA, then data/."""
    if data is not None:
        return [Path(data)]
    named = os.environ.get(VARIABLE)
    return ([Path(named)] if named else []) + [Path("data")]


def find(name: str, data: str | Path | None = None) -> Path | None:
    """The prepared split NAME.safetensors in the first of `folders(data)` that has it."""
    return next((p for f in folders(data) if (p := f / f"{name}.safetensors").is_file()), None)


def listing(data: str | Path | None = None) -> list[dict[str, str]]:
    """One row per known data set: name, title, licence, download, source, how to obtain it, where it is prepared."""
    rows = [
        {
            "name": "planted",
            "title": "Planted communities, made on the fly",
            "licence": "none needed",
            "download": "none",
            "needs": "seconds",
            "source": "minivae.planted",
            "obtain": "nothing to do: minivae study",
            "prepared": "always",
        },
        {
            "name": "debian",
            "title": "Which Debian source package needs which packages, of Debian 12",
            "licence": "facts of a public index",
            "download": "none",
            "needs": "seconds",
            "source": "minivae.debian",
            "obtain": "nothing to do: minivae study --data debian",
            "prepared": "always",
        },
    ]
    for d in DATASETS.values():
        found = find(d.name, data)
        rows.append(
            {
                "name": d.name,
                "title": d.title,
                "licence": d.licence,
                "download": d.download,
                "needs": d.needs,
                "source": urlsplit(d.sources[0]).hostname or "",
                "obtain": f"minivae data prepare {d.name} --out data",
                "prepared": str(found) if found else "no",
            }
        )
    return rows


def resolve(data: str | Path) -> Path:
    """The split file meant by a path or by the name of a data set.

    Raises
    ------
    InputError
        If there is none; says how to make it.
    """
    unpacked = str(data) in DATASETS and Path(data).is_dir()  # the raw data of that name, not a split of it
    if Path(data).exists() and not unpacked:
        return Path(data)
    if str(data) in DATASETS:
        found = find(str(data))
        if found:
            return found
        places = " nor in ".join(map(str, folders()))
        raise InputError(
            f"{data} is not prepared in {places}; make it with minivae data prepare {data} --out {folders()[0]} "
            f"(in a checkout: python {DATASETS[str(data)].script} --out {folders()[0]})"
        )
    raise InputError(f"{data} is neither a file nor one of the data sets planted, debian, {', '.join(DATASETS)}")


class Description(Record, frozen=True):
    """Size, density, activity and popularity of a split, as plain numbers.

    Users and events are by part. Quantiles are over training users (items each) and over items (training users each).
    """

    name: str
    protocol: Mapping[str, int | float | str]
    protocol_in_words: str = msgspec.field(name="protocol in words")
    filters: Mapping[str, Mapping[str, int]]
    warnings: Sequence[str]
    leakage: Sequence[Finding]
    items: int
    titles: bool
    users: Mapping[str, int]
    events: Mapping[str, int]
    heldout_events: Mapping[str, int] = msgspec.field(name="held-out events")
    users_without_heldout: Mapping[str, int] = msgspec.field(name="users without held-out items")
    density: float
    items_per_user: Mapping[str, float] = msgspec.field(name="items per user")
    users_per_item: Mapping[str, float] = msgspec.field(name="users per item")


def describe(split: StrongSplit) -> Description:
    """What is to be known of a split."""
    refuse_no_events(split)
    activity = np.diff(split.train.indptr)
    popularity = np.bincount(split.train.indices, minlength=split.n_items)
    quantiles = {"minimum": 0, "lower quartile": 25, "median": 50, "upper quartile": 75, "maximum": 100}
    held = {"validation": split.validation, "test": split.test}
    return Description(
        name=split.name,
        protocol=split.protocol,
        protocol_in_words=protocol_in_words(split),
        filters={k: dict(zip(("users", "items", "events"), n, strict=True)) for k, n in split.filters.items()},
        warnings=warnings(split),
        leakage=leakage(split),
        items=split.n_items,
        titles=split.item_titles is not None,
        users={"training": split.train.shape[0]} | {k: p.n_users for k, p in held.items()},
        events={"training": split.train.nnz} | {k: p.history.nnz + p.heldout.nnz for k, p in held.items()},
        heldout_events={k: p.heldout.nnz for k, p in held.items()},
        users_without_heldout={k: int((np.diff(p.heldout.indptr) == 0).sum()) for k, p in held.items()},
        density=split.train.nnz / max(1, split.train.shape[0] * split.n_items),
        items_per_user={name: float(np.percentile(activity, q)) for name, q in quantiles.items()},
        users_per_item={name: float(np.percentile(popularity, q)) for name, q in quantiles.items()},
    )
