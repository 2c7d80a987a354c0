"""The pages of the explorables, put together from their files."""

import re
from importlib.resources import files

from minivae.errors import InputError
from minivae.explorables.bundle import bundle

_ORDER = (
    "recall-and-ndcg",
    "elbo",
    "transport",
    "sharing-disc",
    "sharing-plane",
    "compromise",
    "beta",
    "masked-distance",
    "anchors",
    "users-and-seeds",
    "peeking",
    "cost",
)
_STAGE = """<div class="stage">
<figure class="picture">{picture}</figure>
<p class="reading" role="status"></p>
<div class="side">
<div class="controls"></div>
<dl class="numbers"></dl>
</div>"""
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<main>
{words}</main>
<script type="module">
{script}
</script>
</body>
</html>
"""


def names() -> tuple[str, ...]:
    """Names of the explorables, in the order of the course.

    Examples
    --------
    >>> "masked-distance" in names()
    True
    """
    return tuple(name for name in _ORDER if files("minivae.explorables").joinpath(name).is_dir())


def title(name: str) -> str:
    """The title of an explorable.

    Examples
    --------
    >>> title("masked-distance")
    'What does a mask do to a distance?'
    """
    return re.findall(r"<h1>(.*?)</h1>", _text(name, "words.html"))[0]


def page(name: str) -> str:
    """One explorable as a self-contained HTML page: no file, font or script is loaded from anywhere.

    In a frame (`<iframe>`) of the same origin the page makes the frame as tall as itself and takes the theme of the
    page around it, if that has `data-theme` on its root; else it follows the reader's system.

    Parameters
    ----------
    name : str
        One of `names`.

    Returns
    -------
    str
        At most 40 KB of HTML.

    Raises
    ------
    InputError
        If there is no explorable of this name.

    Examples
    --------
    >>> page("masked-distance")[:15]
    '<!doctype html>'
    """
    stage = _STAGE.format(picture=_text(name, "picture.svg").strip())
    return _PAGE.format(
        title=title(name),
        style=_squeeze(_read("kit/picture.css") + _read("kit/page.css")),
        words=_text(name, "words.html").replace("<!--stage-->", stage).replace("</section>", "</section>\n</div>"),
        script=_squeeze(bundle(f"{name}/draw.js", _read)),
    )


def picture(name: str) -> str:
    """The picture of an explorable as it is at the start: a stand-alone SVG, for print and for viewers without scripts.

    Raises
    ------
    InputError
        If there is no explorable of this name.
    """
    ground = '<rect width="100%" height="100%" fill="var(--paper)"/>'
    style = f"<style>{_squeeze(_read('kit/picture.css'))}</style>"
    return re.sub(r"(<svg[^>]*>)", lambda tag: tag[1] + style + ground, _text(name, "picture.svg").strip(), count=1)


def _text(name: str, file: str) -> str:
    if name not in names():
        raise InputError(f"there is no explorable {name!r}; choose one of {', '.join(names())}")
    return _read(f"{name}/{file}")


def _read(path: str) -> str:
    return files("minivae.explorables").joinpath(path).read_text(encoding="utf-8")


def _squeeze(text: str) -> str:
    """Without indentation and lines of comment, which a reader of the page does not need."""
    text = re.sub(r"^\s*/\*\*.*?\*/\n", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"^(?:\s*//.*\n|[ \t]+|\n)", "", text, flags=re.MULTILINE)
