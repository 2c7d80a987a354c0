"""The data sets that minivae knows: what they are, where they come from, and what is prepared on this machine."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from minivae.data.audit import leakage, protocol_in_words, warnings
from minivae.data.splits import StrongSplit
from minivae.errors import InputError

VARIABLE = "MINIVAE_DATA"

MOVIELENS_LICENCE = "research, no redistribution"
GROUPLENS = "https://files.grouplens.org/datasets/movielens/"


@dataclass(frozen=True)
class Protocol:
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
        Name → md5 of a file in the archive, for archives packed by somebody else.
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
    protocol: Protocol
    raw_bytes: int
    sources: tuple[str, ...] = ()
    archive: Mapping[str, str] = field(default_factory=dict)
    members: Mapping[str, str] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)


DATASETS = {
    d.name: d
    for d in (
        Dataset(
            "ml-100k",
            "MovieLens 100K",
            MOVIELENS_LICENCE,
            download="5 MB",
            needs="a second",
            obtain="downloaded by the script",
            script="data_scripts/movielens.py ml-100k",
            protocol=Protocol(n_heldout=100),
            raw_bytes=1_979_173,
            sources=(GROUPLENS + "ml-100k.zip",),
            archive={"md5": "0e33842e24a9c977be4e0107933c0723"},
            counts={
                "ratings": 100_000,
                "events": 55_361,
                "users": 938,
                "items": 1_447,
                "vocabulary": 1_415,
                "training users": 738,
                "held-out events, validation": 1_161,
                "held-out events, test": 1_105,
            },
            files={
                "unique_sid.txt": "sha256:68dedf17647849ff78eb0134c8db3e84fd4f9c44730219d0a370778550879d7b",
                "train.csv": "sha256:697ffdb997b1a2630c2055b7a314c1beea0205ad7d47ae2d037a23a1567bbfcf",
                "validation_tr.csv": "sha256:4317c4dfd49ff77c8dc78a2494f0cb00e33179822c1f6cdac7ecdd623121a1f4",
                "validation_te.csv": "sha256:82827be21bf08f0fe77cfa4c9c2b982c0ce6a5bb3e53678e0be2c3f99cddfe9f",
                "test_tr.csv": "sha256:b0874e11ca12878bbe6d53eae2941e4ee372c569d32709c29c2277d30fc0c70a",
                "test_te.csv": "sha256:6b803463e19ac7097a41f5b8e58a33e4eff25b09414beb4bb9e2bd29e72ce707",
            },
        ),
        Dataset(
            "ml-latest-small",
            "MovieLens latest small, which changes over time",
            MOVIELENS_LICENCE,
            download="1 MB",
            needs="a second",
            obtain="downloaded by the script",
            script="data_scripts/movielens.py ml-latest-small",
            protocol=Protocol(n_heldout=60),
            raw_bytes=20_000_000,
            sources=(GROUPLENS + "ml-latest-small.zip",),
        ),
        Dataset(
            "ml-1m",
            "MovieLens 1M",
            MOVIELENS_LICENCE,
            download="6 MB",
            needs="2 seconds",
            obtain="downloaded by the script",
            script="data_scripts/movielens.py ml-1m",
            protocol=Protocol(n_heldout=1000),
            raw_bytes=24_594_131,
            sources=(GROUPLENS + "ml-1m.zip",),
            archive={"md5": "c4d9eecfca2ab87c1945afe126590906"},
            members={"ratings.dat": "a89aa3591bc97d6d4e0c89459ff39362"},
            counts={
                "ratings": 1_000_209,
                "events": 575_272,
                "users": 6_034,
                "items": 3_533,
                "vocabulary": 3_468,
                "training users": 4_034,
                "held-out events, validation": 18_026,
                "held-out events, test": 18_555,
            },
            files={
                "unique_sid.txt": "sha256:b6b0f586dbe7c38b1344aebfd3e8c3a8c69b0044441d8812a7c521da0b418d12",
                "train.csv": "sha256:5e9f12657a6492112511603426d999f64905e940e5b2be5b4af978bc46a443ec",
                "validation_tr.csv": "sha256:f701265f3f0ba6245c187e3ef23c36d7e9ba2e8c85e9a405b8533285c90c8c24",
                "validation_te.csv": "sha256:8e2d06d4359fbd47ea23124b9845fa29d8d739b6a56c01f9c5fa8a0b146879f4",
                "test_tr.csv": "sha256:9bbc3f35a1fbe0cf63e3751c0b9b941bd6c79bf54192eaed35d4df4a8095a6c4",
                "test_te.csv": "sha256:4ccd72972227549c0e4cf334b04b52db115ef84432aa88ba9a3fa09bf08f9577",
            },
        ),
        Dataset(
            "ml-20m",
            "MovieLens 20M",
            MOVIELENS_LICENCE,
            download="190 MB",
            needs="5 seconds, 1 GB of memory",
            obtain="downloaded by the script",
            script="data_scripts/movielens.py ml-20m",
            protocol=Protocol(n_heldout=10_000),
            raw_bytes=533_444_411,
            sources=(GROUPLENS + "ml-20m.zip",),
            archive={
                "md5": "cd245b17a1ae2cc31bb14903e1204af3",
                "sha256": "96f243c338a8665f6bcc89c53edf6ee39162a846940de6b7c8c48aeada765ff3",
            },
            counts={
                "ratings": 20_000_263,
                "events": 9_990_682,
                "users": 136_677,
                "items": 20_720,
                "vocabulary": 20_108,
                "training users": 116_677,
                "held-out events, validation": 142_514,
                "held-out events, test": 139_775,
            },
            files={
                "unique_sid.txt": "sha256:b9f95107e156c2feaf78439ae302001abf13bdb480aeedcb0e4d8382f2f8b76f",
                "train.csv": "git:f34423346c487fc7ec0e1d5612ef3042e26b0262",
                "validation_tr.csv": "git:c7a10bf71010b5b2691b2ff91e9b01ecc880f5eb",
                "validation_te.csv": "sha256:bec3f6dfbe876ec2224e98458ffe2ff74c453ef1894644757c1e3ca747a26adf",
                "test_tr.csv": "git:aaa793b3e90aa41adb65de181d069b0ec9a7f76a",
                "test_te.csv": "sha256:df4a9ddc77c79bab4a581adec7ff1487de146d47b42c35c393696842252435c2",
            },
        ),
        Dataset(
            "netflix",
            "Netflix Prize",
            "research, no redistribution",
            download="700 MB",
            needs="35 seconds, 3 GB of memory",
            obtain="downloaded from the Internet Archive, or the combined_data_*.txt from Kaggle (login)",
            script="data_scripts/netflix.py",
            protocol=Protocol(n_heldout=40_000),
            raw_bytes=2_700_000_000,
            sources=("https://archive.org/download/nf_prize_dataset.tar/nf_prize_dataset.tar.gz",),
            counts={
                "ratings": 100_480_507,
                "events": 56_880_037,
                "users": 463_435,
                "items": 17_769,
                "vocabulary": 17_769,
                "training users": 383_435,
            },
        ),
        Dataset(
            "msd",
            "Million Song Dataset, Echo Nest Taste Profile",
            "research, not commercial",
            download="500 MB",
            needs="a minute, 3 GB of memory",
            obtain="downloaded by the script",
            script="data_scripts/msd.py",
            protocol=Protocol(n_heldout=50_000, min_rating=None, min_user=20, min_item=200),
            raw_bytes=3_100_000_000,
            sources=tuple(
                f"http://{host}/train_triplets.txt.zip"
                for host in (
                    "millionsongdataset.com/sites/default/files/challenge",
                    "labrosa.ee.columbia.edu/millionsong/sites/default/files/challenge",
                    "labrosa.ee.columbia.edu/~dpwe/tmp",
                )
            ),
            counts={
                "ratings": 48_373_586,
                "events": 33_633_450,
                "users": 571_355,
                "items": 41_140,
                "vocabulary": 41_140,
                "training users": 471_355,
            },
        ),
    )
}


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
                "obtain": f"python {d.script} --out data",
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
    if Path(data).exists():
        return Path(data)
    if str(data) in DATASETS:
        found = find(str(data))
        if found:
            return found
        places = " nor in ".join(map(str, folders()))
        raise InputError(
            f"{data} is not prepared in {places}; make it with python {DATASETS[str(data)].script} --out {folders()[0]}"
        )
    raise InputError(f"{data} is neither a file nor one of the data sets planted, debian, {', '.join(DATASETS)}")


def describe(split: StrongSplit) -> dict[str, Any]:
    """Size, density, activity and popularity of a split, as plain numbers.

    Quantiles are over training users (items each) and over items (training users each).
    """
    activity = np.diff(split.train.indptr)
    popularity = np.bincount(split.train.indices, minlength=split.n_items)
    quantiles = {"minimum": 0, "lower quartile": 25, "median": 50, "upper quartile": 75, "maximum": 100}
    held = {"validation": split.validation, "test": split.test}
    return {
        "name": split.name,
        "protocol": dict(split.protocol),
        "protocol in words": protocol_in_words(split),
        "filters": {k: dict(zip(("users", "items", "events"), n, strict=True)) for k, n in split.filters.items()},
        "warnings": warnings(split),
        "leakage": leakage(split),
        "items": split.n_items,
        "titles": split.item_titles is not None,
        "users": {"training": split.train.shape[0]} | {k: p.n_users for k, p in held.items()},
        "events": {"training": split.train.nnz} | {k: p.history.nnz + p.heldout.nnz for k, p in held.items()},
        "held-out events": {k: p.heldout.nnz for k, p in held.items()},
        "users without held-out items": {k: int((np.diff(p.heldout.indptr) == 0).sum()) for k, p in held.items()},
        "density": split.train.nnz / max(1, split.train.shape[0] * split.n_items),
        "items per user": {name: float(np.percentile(activity, q)) for name, q in quantiles.items()},
        "users per item": {name: float(np.percentile(popularity, q)) for name, q in quantiles.items()},
    }


def info(data: str | Path) -> dict[str, Any]:
    """`describe` of the split at a path, or of the prepared data set of that name.

    Raises
    ------
    InputError
        If there is no such file, or it is no split.
    """
    path = resolve(data)
    return {"file": str(path), **describe(StrongSplit.load(path))}
