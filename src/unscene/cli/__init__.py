"""The commands of `unscene`, one file each: flags in, calls out.

A command is a module with `HELP`, `flags(parser)` and `run(values) -> exit status or None`. No
command imports torch before it runs, so that help and mistyped flags are answered at once. The
exceptions are `pretrain` and `views`, whose flags are the settings of the chosen method
(`flags(parser, arguments)`): they import the method, but answer mistyped flags without it. The
flags of `scenes` are the settings of the chosen kind.
"""

from __future__ import annotations

DATA = (
    "folder of videos, folder of class folders, CSV (path,label[,start,end]), or an official list "
    "such as ucf101-1-train:FOLDER"
)
ENCODER = (
    "encoder that comes with unscene (motion), saved run, name of an architecture (untrained), "
    "published checkpoint (FILE.pth), hf:FOLDER or package.module:factory; NAME=... names it in "
    "the results"
)
INPUT = (
    "rgb, flow or vectors: what an untrained architecture reads; an encoder of flow can take it "
    "from the codec's vectors, and back (default: what the encoder reads)"
)
DEVICE = "auto, cpu, cuda, cuda:1 ..."
WORKERS = "processes that read videos; 0: this one"
