"""Sphinx's settings for the decks. `chapters/deck.py` stages the slides and calls Sphinx with this file."""

project = "minivae, the course"
extensions = ["myst_parser", "sphinx_revealjs", "mathml"]
myst_enable_extensions = ["dollarmath", "colon_fence"]
revealjs_static_path = ["_static"]
revealjs_css_files = ["deck.css"]
revealjs_style_theme = "white"
revealjs_script_conf = """{
    width: 1280, height: 720, margin: 0.02, hash: true, center: false,
    slideNumber: 'c/t', transition: 'none', controlsLayout: 'edges'
}"""
revealjs_script_plugins = [{"name": "RevealNotes", "src": "revealjs/plugin/notes/notes.js"}]
