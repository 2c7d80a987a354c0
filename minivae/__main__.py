"""`python -m minivae` is the command line."""

import sys

from minivae.cli import main

sys.exit(main())
