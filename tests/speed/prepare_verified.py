"""data_scripts/movielens.py with verification, on a generated archive: told what that holds, as it is of ML-20M.

python tests/speed/prepare_verified.py KNOWN.json ml-20m --from-file …
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "data_scripts"))

import movielens
import tyro

from minivae.data.catalogue import DATASETS
from minivae.preparation.command import guarded

known = json.loads(Path(sys.argv[1]).read_text())
ml_20m = DATASETS["ml-20m"]
protocol = replace(ml_20m.protocol, n_heldout=known.pop("n_heldout"))
DATASETS["ml-20m"] = replace(ml_20m, protocol=protocol, **known)
guarded(lambda: tyro.cli(movielens.main, args=sys.argv[2:]))
