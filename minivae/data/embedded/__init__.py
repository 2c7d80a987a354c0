"""The data that comes with minivae: which Debian source package needs which packages. README.md here says more."""

from importlib.resources import as_file, files

from minivae.data.interactions import Interactions

DEBIAN_INDEX = "515e692f2c4121c6fcec444ef100cc18f79a991910615f3a88c8b7becfc94d2f"  # sha256 of Packages, unpacked
DEBIAN_COUNTS = {"pairs": 188_594, "pairs kept": 103_705, "users": 10_215, "items": 2_384}
DEBIAN_FILE = "42a364ef1702fdd9f8f5799e95406365d2fb62a881e1b3e49c3945a96d224b2a"  # sha256


def debian() -> Interactions:
    """Which source package of Debian 12 needs which packages: real data that comes with minivae.

    A source package u (user) has a package i (item) if a binary package built from u names i first among the
    alternatives of a Depends or Pre-Depends; a virtual package that exactly one package provides counts as that
    package, and what u builds itself does not count. Items with at least 10 users, then users with at least 5 items.
    Facts of a public index, no persons. Beside `planted`, whose preferences are known, this is data as it was found.

    Returns
    -------
    Interactions
        Labels are names of packages; events are sorted by user, then by item.

    Examples
    --------
    >>> debian()
    Interactions('debian', 10,215 users, 2,384 items, 103,705 events)
    """
    with as_file(files("minivae.data.embedded") / "debian.safetensors") as path:
        return Interactions.load(path)
