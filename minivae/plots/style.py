"""What all figures have in common."""

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000")
"""Of Okabe and Ito (2008): told apart by colour-blind readers."""
