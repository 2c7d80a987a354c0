"""Keys of every record in a JSON file: files that were written before are read with them.

`python -m tests.test_record_keys` writes `record_keys.txt` anew; read the difference before it is committed.
"""

from pathlib import Path

import msgspec

from tests.test_records_are_frozen import records

LISTED = Path(__file__).with_name("record_keys.txt")


def keys() -> str:
    """A line for every record."""
    structs = {n: v for n, v in records() if issubclass(v, msgspec.Struct) and v.__struct_encode_fields__}
    return "".join(f"{name}: {', '.join(structs[name].__struct_encode_fields__)}\n" for name in sorted(structs))


def test_keys_are_those_that_files_have():
    assert keys() == LISTED.read_text(encoding="utf-8")


if __name__ == "__main__":
    LISTED.write_text(keys(), encoding="utf-8")
