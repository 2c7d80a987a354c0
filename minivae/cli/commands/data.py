"""`minivae data list`, `info` and `prepare`."""

from minivae.cli import flags
from minivae.data import catalogue
from minivae.runtime.table import Table, print_table, words


def list_data(_: flags.List) -> None:
    """Known data sets and where they are prepared."""
    keys = ("name", "licence", "download", "source", "prepared", "obtain")
    print_table(Table.make(map(words, keys), ([row[k] for k in keys] for row in catalogue.listing())))


def data_info(options: flags.Info) -> None:
    """Facts about one data set."""
    from minivae.cli.commands.sources import source_of
    from minivae.runtime.records import flat
    from minivae.study.output import tables
    from minivae.study.output.display import fact

    description = catalogue.describe(source_of(options).load())
    facts = flat({k: v for k, v in description.as_dict().items() if k not in ("warnings", "leakage")})
    print_table(
        Table.make([words("fact"), words("value", fact)], ((k.replace(".", ", "), v) for k, v in facts.items()))
    )
    print_table(tables.leakage(description.leakage), "leakage audit")
    for sentence in description.warnings:
        print(f"warning: {sentence}")


def prepare_data(options: flags.Prepare) -> None:
    """The split of a known data set from its raw archive."""
    from minivae.preparation.known import prepare

    fields = {k: v for k, v in vars(options).items() if k not in ("name", "no_verify")}
    print(prepare(options.name, verify=not options.no_verify, **fields))
