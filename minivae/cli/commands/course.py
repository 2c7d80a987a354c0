"""`minivae course`."""

from minivae import course
from minivae.cli import flags


def copy_chapters(options: flags.Course) -> None:
    """Notebooks, glossary and stored results, to a folder of one's own."""
    notebooks = course.copy_course(options.out, options.solutions)
    print(f"{len(notebooks)} notebooks in {options.out}; start with: jupyter lab {notebooks[0]}")
