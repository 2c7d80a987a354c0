"""The course's notebooks and stored results, found from any folder: in the repository or in the installed wheel."""

from minivae.course.material import folder, stored
from minivae.course.notebooks import blank, copy_course

__all__ = ["blank", "copy_course", "folder", "stored"]
