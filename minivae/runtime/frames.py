"""Tables for other programs: Parquet, CSV or JSON lines, block after block.

Labels stand in them as in the data, so that other programs find the same users and items again. The CSV files of a
report are for people: there `text.csv_cell` keeps a spreadsheet from taking a name for a formula.
"""

from collections.abc import Iterable
from pathlib import Path

import polars as pl

from minivae.errors import InputError
from minivae.runtime.storage import write_whole

FORMATS = (".parquet", ".csv", ".jsonl")


def check_format(path: Path) -> None:
    """Raise `InputError` unless the ending of a path says one of the formats."""
    if path.suffix.lower() not in FORMATS:
        raise InputError(f"{path} must end in one of {', '.join(FORMATS)}, which says the format")


def write_frames(blocks: Iterable[pl.DataFrame], path: Path) -> None:
    """One table in the format that the name says, whole or not at all.

    The table is never in memory as a whole: its blocks wait beside the file.
    """

    def write(file: Path) -> None:
        parts = []
        for number, block in enumerate(blocks):
            parts.append(file.with_name(f"{number:06}.parquet"))
            block.write_parquet(parts[-1])
        table = pl.scan_parquet(parts, glob=False)
        sink = {".parquet": table.sink_parquet, ".csv": table.sink_csv, ".jsonl": table.sink_ndjson}
        sink[path.suffix.lower()](file)

    write_whole(path, write)
