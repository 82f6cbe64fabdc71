"""The commands of `unscene`: flags, and what is done with them.

A command is a module with `HELP`, `flags(parser)` and `run(values) -> exit status or None`. None
imports torch before it runs, so that help and mistyped flags are answered at once.
"""

from __future__ import annotations

DATA = (
    "folder of videos, folder of class folders, CSV (path,label[,start,end]), or an official list "
    "such as ucf101-1-train:FOLDER"
)
