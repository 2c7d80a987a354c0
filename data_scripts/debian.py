"""Which Debian source package needs which packages, out of the index of a release.

    python data_scripts/debian.py --out data
    python data_scripts/debian.py --release trixie --out data
    python data_scripts/debian.py --from-file Packages.xz --out data
    python data_scripts/debian.py --apt --out data

A source package (user) has a package (item) if a binary package that is built from it names the item first among the
alternatives of a Depends or Pre-Depends; a virtual package that exactly one package provides counts as that package,
and what the source package builds itself does not count. Items with fewer than 10 users are left out, then users with
fewer than 5 items, each once. Names alone are kept: no version, no description, no maintainer.

The result is OUT/debian.safetensors, which `minivae study --data` takes. The index of Debian 12.15 gives the file that
minivae carries (`--data debian`), byte for byte; that is verified.
"""

import gzip
import hashlib
import lzma
import re
import shutil
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Annotated

import tyro

from minivae.data import embedded
from minivae.data.interactions import Interactions
from minivae.errors import InputError
from minivae.preparation.archives import readable, refuse_web_page, starts
from minivae.preparation.command import guarded
from minivae.preparation.verify import Verification

MIRROR = "http://deb.debian.org/debian"
MIN_ITEM, MIN_USER = 10, 5
NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+")  # of a package, Debian policy 5.6.1
RELATION = re.compile(  # name[:architecture] [(version)] [[architectures]] [<profiles>], Debian policy 7.1
    r"(?P<name>[^\s:(<\[|,]+)(:[a-z0-9-]+)?\s*(\([^()]*\))?\s*(\[[^\[\]]*\])?\s*(<[^<>]*>\s*)*"
)
FIELDS = {"Package", "Source", "Depends", "Pre-Depends", "Provides"}
PATTERNS = ("gzip", b"\x1f\x8b"), ("xz", b"\xfd7zXZ\x00")
LIMIT = 1 << 30  # bytes of an unpacked index: twenty times that of a release


@dataclass
class Index:
    """What the stanzas of an index say together.

    Attributes
    ----------
    sources : package → source packages that it is built from, more than one if they changed between versions.
    needs : source package → names that its binary packages depend on.
    providers : virtual package → packages that provide it.
    sha256 : of the text.
    """

    sources: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    needs: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    providers: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    sha256: str = ""

    def pairs(self) -> list[tuple[str, str]]:
        """(source package, package), sorted, each once."""
        found = set()
        for source, names in self.needs.items():
            for name in names:
                provided = self.providers.get(name, ()) if name not in self.sources else ()
                package = next(iter(provided)) if len(provided) == 1 else name
                if source not in self.sources.get(package, ()):
                    found.add((source, package))
        return sorted(found)


def read(text: Iterable[bytes], where: str) -> Index:
    """An index of binary packages, line by line.

    Raises
    ------
    InputError
        If a line is neither a field, nor the continuation of one, nor empty; if a stanza is no binary package; if a
        relation between packages cannot be read; or if the text ends within a line.
    """
    index, digest, number, first = Index(), hashlib.sha256(), 0, 1
    stanza: dict[str, str] = {}
    key, line = "", b"\n"
    for number, line in enumerate(text, 1):
        digest.update(line)
        written = decoded(line, f"{where}, line {number}")
        if not written.strip():
            add(index, stanza, f"{where}, line {first}")
            stanza, key, first = {}, "", number + 1
        elif written[0] in " \t":
            if not key:
                raise InputError(f"{where}, line {number} continues a field, but none stands before it; fetch it again")
            stanza[key] += written
        else:
            key, colon, value = written.partition(":")
            if not colon or not re.fullmatch(r"[!-9;-~]+", key):
                raise InputError(
                    f"{where}, line {number} is no line of a package index ({written[:40].strip()!r}); give a file "
                    "Packages, plain, .gz or .xz"
                )
            if key in stanza:
                raise InputError(f"{where}, line {number}: the field {key} stands twice in one stanza; fetch it again")
            stanza[key] = value
    if not line.endswith(b"\n"):
        raise InputError(f"{where} ends within line {number}: it is truncated; fetch it again")
    add(index, stanza, f"{where}, line {first}")
    if not index.sources:
        raise InputError(f"{where} holds no package; give a file Packages, plain, .gz or .xz")
    index.sha256 = digest.hexdigest()
    return index


def decoded(line: bytes, where: str) -> str:
    """The line as text."""
    try:
        return line.decode()
    except UnicodeDecodeError as e:
        raise InputError(f"{where} is no UTF-8 text ({e.reason}); fetch it again") from e


def add(index: Index, stanza: dict[str, str], where: str) -> None:
    """What one stanza says."""
    if not stanza:
        return
    package = stanza.get("Package", "").strip()
    if "Binary" in stanza:
        raise InputError(f"{where} is a source package; give the index of binary packages: Packages, not Sources")
    source = stanza.get("Source", package).split("(")[0].strip()  # "Source: name (version)" if the versions differ
    for name in (package, source):
        if not NAME.fullmatch(name):
            raise InputError(f"{where}: the stanza names no package ({name[:40]!r}); fetch the index again")
    index.sources[package].add(source)
    for key in ("Pre-Depends", "Depends"):
        index.needs[source].update(clause[0] for clause in relations(stanza.get(key, ""), f"{where}, {key}"))
    for clause in relations(stanza.get("Provides", ""), f"{where}, Provides"):
        index.providers[clause[0]].add(package)


def relations(written: str, where: str) -> list[list[str]]:
    """The names in every clause of a relationship field, in their order.

    >>> relations("libc6 (>= 2.34), perl:any | perl6 [amd64], default-mta (= 1:2-3) | mail-transport-agent", "")
    [['libc6'], ['perl', 'perl6'], ['default-mta', 'mail-transport-agent']]
    """
    clauses = []
    for clause in filter(str.strip, written.split(",")):
        names = []
        for alternative in clause.split("|"):
            found = RELATION.fullmatch(alternative.strip())
            if not found or not NAME.fullmatch(found["name"]):
                raise InputError(f"{where}: {alternative.strip()[:60]!r} is no relation to a package")
            names.append(found["name"])
        clauses.append(names)
    return clauses


def filtered(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Without rare items, then without users that have few of the rest; each filter once."""
    users = Counter(item for _, item in pairs)
    pairs = [(user, item) for user, item in pairs if users[item] >= MIN_ITEM]
    items = Counter(user for user, _ in pairs)
    return [(user, item) for user, item in pairs if items[user] >= MIN_USER]


def lines(stream: IO[bytes], where: str) -> Iterator[bytes]:
    """The lines of a stream that is not endless."""
    left = LIMIT
    for line in stream:
        left -= len(line)
        if left < 0:
            raise InputError(f"{where} unpacks to over {LIMIT:,} bytes: it is no package index; fetch it again")
        yield line


def read_file(path: Path) -> Index:
    """The index in a file, plain, gzip or xz, whatever its name."""
    if not path.is_file():
        raise InputError(f"{path} is no file; check the path")
    with readable(path):
        refuse_web_page(path)
        packed = next((name for name, magic in PATTERNS if starts(path, magic)), "")
        opened = {"gzip": gzip.open, "xz": lzma.open}.get(packed, Path.open)
        with opened(path, "rb") as stream:
            return read(lines(stream, str(path)), str(path))


def read_apt() -> Index:
    """What apt knows of all packages that this machine could install."""
    if shutil.which("apt-cache") is None:
        raise InputError("apt-cache is not on this machine; leave --apt out to download an index, or give --from-file")
    with subprocess.Popen(["apt-cache", "dumpavail"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        index = read(lines(process.stdout, "apt-cache dumpavail"), "apt-cache dumpavail")
    if process.returncode:
        raise InputError(f"apt-cache dumpavail failed with status {process.returncode}; run apt-get update first")
    return index


def download(release: str, architecture: str, folder: Path) -> Path:
    """The index of a release, with the checksum that the Release file of the mirror gives for it."""
    from minivae.preparation.download import retrieve, text_at

    member = f"main/binary-{architecture}/Packages.xz"
    at = f"{MIRROR}/dists/{release}"
    listed = re.search(rf"^ ([0-9a-f]{{64}}) +[0-9]+ {re.escape(member)}$", text_at(f"{at}/Release"), re.MULTILINE)
    if listed is None:
        raise InputError(f"{at}/Release lists no {member}; check --release and --architecture")
    return retrieve(release, [f"{at}/{member}"], f"sha256:{listed[1]}", folder, f"{release}-{architecture}-Packages.xz")


@dataclass(frozen=True)
class Options:
    """Where the index comes from, and where the result goes."""

    out: Path
    """Folder for debian.safetensors (and for the download)."""
    release: str = "bookworm"
    """Code name or suite, as in the folder dists of the mirror."""
    architecture: str = "amd64"
    """Whose binary packages."""
    from_file: Path | None = None
    """An index that is already here: Packages, plain, .gz or .xz."""
    apt: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Take what `apt-cache dumpavail` prints: all sources of this machine together."""
    verify: bool = True
    """Where it is the index that the file in minivae came from, compare; a difference is an error."""


def main(options: Annotated[Options, tyro.conf.arg(name="")]) -> Path:
    """Obtain, read, verify, write; returns the path of the file."""
    if options.apt and options.from_file is not None:
        raise InputError("--apt and --from-file name two indexes; give one of them")
    if options.apt:
        index = read_apt()
    else:
        index = read_file(options.from_file or download(options.release, options.architecture, options.out))
    pairs = index.pairs()
    kept = filtered(pairs)
    if not kept:
        raise InputError(
            f"none of the {len(pairs):,} pairs is left: no package is needed by {MIN_ITEM} source packages that need "
            f"{MIN_USER} such packages; is it the index of a whole release?"
        )
    data = Interactions.from_labels([user for user, _ in kept], [item for _, item in kept], name="debian")
    with TemporaryDirectory() as folder:
        data.save(Path(folder, "file"))
        content = Path(folder, "file").read_bytes()
    known = index.sha256 == embedded.DEBIAN_INDEX
    checks = Verification(strict=options.verify)
    checks.stage([("sha256 of the index", embedded.DEBIAN_INDEX if known else None, index.sha256)])
    counts = {"pairs": len(pairs), "pairs kept": data.n_events, "users": data.n_users, "items": data.n_items}
    checks.stage((step, embedded.DEBIAN_COUNTS[step] if known else None, n) for step, n in counts.items())
    sha256 = hashlib.sha256(content).hexdigest()
    checks.stage([("sha256 of the file", embedded.DEBIAN_FILE if known else None, sha256)])
    target = options.out / "debian.safetensors"
    if target.exists() and target.read_bytes() != content:
        raise InputError(f"{target} holds something else; choose another --out, or remove it")
    data.save(target)
    checks.print()
    return target


if __name__ == "__main__":
    guarded(lambda: tyro.cli(main, description=__doc__))
