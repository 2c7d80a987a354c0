"""Write `picture.svg` of every explorable: what its page draws at the start, 640 pixels wide, in a real browser.

Run it from the root of the repository after a change of a drawing: python -m tests.explorables.make_pictures
"""

import re
from pathlib import Path
from typing import Any

from minivae import explorables
from tests.explorables import engines

FOLDER = Path(explorables.__file__).parent
WIDTH = 640


def picture(tab: Any, name: str) -> str:
    """The picture as stand-alone SVG; one shape on a line, so that a change can be read."""
    tab.set_content(explorables.page(name))
    tab.evaluate(f"document.querySelector('.picture').style.width = '{WIDTH}px'")
    tab.wait_for_function(f"document.querySelector('.picture svg').getAttribute('width') === '{WIDTH}'")
    drawn = tab.evaluate(
        """() => {
            const svg = document.querySelector('.picture svg').cloneNode(true);
            for (const handle of svg.querySelectorAll('.handle')) {
                const mark = handle.querySelector('.f');
                if (!mark || handle.style.display === 'none') {
                    handle.remove(); // a bare handle moves a mark that is drawn already
                    continue;
                }
                mark.setAttribute('class', `f ${handle.getAttribute('class').replace('handle ', '')}`);
                mark.setAttribute('transform', handle.getAttribute('transform'));
                handle.replaceWith(mark);
            }
            svg.setAttribute('role', 'img');
            svg.removeAttribute('height');
            svg.setAttribute('xmlns', 'http://www.w3.org/2000/svg');
            return svg.outerHTML;
        }"""
    )
    return re.sub(r"(?<=>)(?=<(?!/))", "\n", drawn.replace(' aria-hidden="true"', "")) + "\n"


if __name__ == "__main__":
    with engines.browser() as chromium:
        page = chromium.new_page(viewport={"width": 1280, "height": 900})
        for each in explorables.names():
            (FOLDER / each / "picture.svg").write_text(picture(page, each), encoding="utf-8")
