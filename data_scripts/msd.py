"""Million Song Dataset (Taste Profile) to the split that the published figures were measured on.

    python data_scripts/msd.py --out data
    python data_scripts/msd.py --from-file ~/Downloads/train_triplets.txt.zip --out data

Takes train_triplets.txt, zipped or not, or downloads it; keeps every triplet, whatever its play count, and the songs
that do not match their tracks too, as all published figures do; verifies; writes OUT/msd.safetensors.
For research, not for commerce.
"""

from pathlib import Path
from typing import Annotated

import tyro

from minivae.data.catalogue import DATASETS
from minivae.preparation import msd
from minivae.preparation.command import Options, guarded, make_split


def main(options: Annotated[Options, tyro.conf.arg(name="")]) -> Path:
    return make_split(DATASETS["msd"], msd.read, options)


if __name__ == "__main__":
    guarded(lambda: tyro.cli(main, description=__doc__))
