"""Sphinx's settings. `docs/build.py` stages the pages and calls Sphinx with this file."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "_ext"))

from minivae.version import __version__

project = "minivae"
author = "The minivae authors"
release = version = __version__
extensions = ["myst_nb", "numpydoc", "sphinx.ext.autodoc", "sphinx_copybutton", "sphinx_design", "mathml", "statements"]
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb", ".rst": "restructuredtext"}
exclude_patterns = ["examples/**", "_ext/**"]
nb_execution_mode = "off"
nb_merge_streams = True
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence", "deflist"]
myst_heading_anchors = 4
suppress_warnings = ["mystnb.unknown_mime_type"]
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
maximum_signature_line_length = 70
autodoc_member_order = "bysource"
toc_object_entries_show_parents = "hide"
html_theme = "sphinx_book_theme"
html_title = "minivae"
html_static_path = ["_static"]
html_css_files = ["minivae.css"]
html_js_files = ["scroll.js"]
html_theme_options = {
    "show_navbar_depth": 1,
    "use_download_button": False,
    "use_fullscreen_button": False,
    "home_page_in_toc": True,
    "show_toc_level": 2,
    "navbar_persistent": [],  # one search field is enough
}
html_show_sourcelink = False
html_copy_source = False
default_role = "code"
html_context = {"default_mode": "auto"}
