"""Explorables: twelve small pages in which a theorem of the course can be moved by hand, without a network.

Each has a folder of its own: `words.html` what is asked and stated, `math.js` the arithmetic, `draw.js` the picture and
its handles, `picture.svg` the picture for print and for viewers without scripts. The arithmetic is checked against the
Python library. `page` makes one self-contained HTML page of them, `show` puts it into a notebook.
"""

from minivae.explorables.notebook import Explorable, show
from minivae.explorables.pages import names, page, picture, title

__all__ = ["Explorable", "names", "page", "picture", "show", "title"]
