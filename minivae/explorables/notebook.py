"""An explorable in a notebook."""

from base64 import b64encode
from dataclasses import dataclass
from html import escape

from minivae.explorables.pages import page, picture, title


@dataclass(frozen=True)
class Explorable:
    """One explorable, shown by a notebook as the last line of a cell; made by `show`.

    The page lies inside the output, in a frame of its own, so it works without a network and its styles and identifiers
    touch nothing else. A viewer that takes the frame away shows the picture.

    Attributes
    ----------
    name : str
        One of `minivae.explorables.names`.
    height : int
        Height of the frame in pixels until the page has measured itself.
    """

    name: str
    height: int = 900

    def _repr_html_(self) -> str:
        source = b64encode(picture(self.name).encode()).decode()
        fallback = (
            f'<img src="data:image/svg+xml;base64,{source}" alt="{escape(title(self.name))}" style="display:none">'
        )
        frame = (
            f'<iframe title="{escape(title(self.name))}" srcdoc="{escape(page(self.name))}" '
            f'style="width:100%;height:{self.height}px;border:0" loading="lazy"></iframe>'
        )
        return f"<div>{fallback}{frame}</div>"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/html": self._repr_html_(), "image/svg+xml": picture(self.name), "text/plain": title(self.name)}


def show(name: str, height: int = 900) -> Explorable:
    """An explorable for a notebook: a page in which a theorem of the course can be moved by hand.

    Parameters
    ----------
    name : str
        One of `minivae.explorables.names`, for instance "masked-distance".
    height : int
        Height of its frame in pixels until the page has measured itself.

    Returns
    -------
    Explorable

    Raises
    ------
    InputError
        If there is no explorable of this name.

    Examples
    --------
    >>> show("masked-distance")
    Explorable(name='masked-distance', height=900)
    """
    title(name)
    return Explorable(name, height)
