"""What is wrong with the links inside a page that a command leaves."""

import re
from collections import Counter


def dead_links(page: str) -> list[str]:
    """Links to places that the page does not have, and ids that it has more than once."""
    ids = Counter(re.findall(r'\sid="([^"]*)"', page))
    dead = [f"#{place}" for place in re.findall(r'href="#([^"]*)"', page) if place not in ids]
    return dead + [f"{name} is there {n} times" for name, n in ids.items() if n > 1]
