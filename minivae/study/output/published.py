"""Published results, as far as they may stand near ours: only for the data set they were measured on."""

import csv
from importlib.resources import files

from minivae.data.catalogue import DATASETS, Description

TAGS = {
    "V": "read in a primary artefact",
    "S": "read in a secondary text",
    "C": "computed from primary figures",
    "M": "as published, unverified",
}


def at_hand(data: Description) -> bool:
    """Whether a description fits the data set of its name, so that published figures may stand beside ours."""
    counts = DATASETS[data.name].counts if data.name in DATASETS else {}
    return (counts.get("vocabulary"), counts.get("training users")) == (data.items, data.users["training"])


def metrics(data: str) -> list[dict[str, str]]:
    """Rows of published.csv for a data set: model, metric, value, se, tag, source."""
    return [row for row in _read("published.csv") if row["data"] == data]


def curves(data: str) -> dict[str, tuple[list[int], list[float]]]:
    """Validation nDCG@100 by epoch: label with tag and source -> (epochs, values)."""
    found: dict[str, tuple[list[int], list[float]]] = {}
    for row in _read("published_curves.csv"):
        if row["data"] == data:
            epochs, values = found.setdefault(f"published: {row['model']} [{row['tag']}] {row['source']}", ([], []))
            epochs.append(int(row["epoch"]))
            values.append(float(row["value"]))
    return found


def prototype() -> dict[tuple[str, str, str], float]:
    """The numbers of prototype.csv: (section of the theory, variant of the model, number) -> value."""
    return {(row["section"], row["variant"], row["number"]): float(row["value"]) for row in _read("prototype.csv")}


def paper(table: str) -> dict[str, dict[str, tuple[float, str]]]:
    """A table of the paper that this project only read about: row -> column -> (value, tag).

    Parameters
    ----------
    table : str
        'by activity' or 'A/B test'.
    """
    found: dict[str, dict[str, tuple[float, str]]] = {}
    for row in _read("paper.csv"):
        if row["table"] == table:
            found.setdefault(row["row"], {})[row["column"]] = float(row["value"]), row["tag"]
    return found


def _read(name: str) -> list[dict[str, str]]:
    text = (files("minivae.study") / "published" / name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))
