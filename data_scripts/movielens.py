"""MovieLens to the split that the published figures were measured on.

    python data_scripts/movielens.py ml-1m --out data
    python data_scripts/movielens.py ml-20m --from-file ~/Downloads/ml-20m.zip --out data

Downloads the archive from GroupLens, or takes what is there; keeps ratings of 4 and more; verifies; writes
OUT/NAME.safetensors. MovieLens is for research; its licence forbids to redistribute it.
"""

from pathlib import Path
from typing import Annotated, Literal

import tyro

from minivae.data.catalogue import DATASETS
from minivae.preparation import movielens
from minivae.preparation.command import Options, guarded, make_split


def main(
    name: Annotated[Literal["ml-100k", "ml-1m", "ml-20m", "ml-latest-small"], tyro.conf.Positional],
    options: Annotated[Options, tyro.conf.arg(name="")],
) -> Path:
    return make_split(DATASETS[name], movielens.read, options)


if __name__ == "__main__":
    guarded(lambda: tyro.cli(main, description=__doc__))
