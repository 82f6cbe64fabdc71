"""`unscene doctor`: is all in place?"""

from __future__ import annotations

from jsonargparse import ArgumentParser, Namespace

HELP = "versions, devices, codecs, and what is missing"


def flags(parser: ArgumentParser) -> None:
    """It takes none."""


def run(values: Namespace) -> int:
    from unscene.cli.doctor_checks import doctor

    text, healthy = doctor()
    print(text)
    return 0 if healthy else 1
