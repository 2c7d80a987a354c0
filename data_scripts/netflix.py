"""Netflix Prize to the split that the published figures were measured on.

    python data_scripts/netflix.py --out data
    python data_scripts/netflix.py --from-file ~/Downloads/nf_prize_dataset.tar.gz --out data

Takes the original archive (a tar of mv_0000001.txt, …, packed or unpacked), or Kaggle's combined_data_1.txt to
combined_data_4.txt (in a zip or a folder), or downloads the original from the Internet Archive; keeps ratings of 4 and
more; verifies; writes OUT/netflix.safetensors. The publisher allowed research only and no redistribution.
"""

from pathlib import Path
from typing import Annotated

import tyro

from minivae.data.catalogue import DATASETS
from minivae.preparation import netflix
from minivae.preparation.command import Options, guarded, make_split


def main(options: Annotated[Options, tyro.conf.arg(name="")]) -> Path:
    return make_split(DATASETS["netflix"], netflix.read, options)


if __name__ == "__main__":
    guarded(lambda: tyro.cli(main, description=__doc__))
