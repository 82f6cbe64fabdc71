"""`unscene scenes`: generate footage whose motion and scene are known."""

from __future__ import annotations

import shlex

from jsonargparse import ArgumentParser, Namespace

from unscene.files import expand_home

HELP = "generate footage whose motion and scene are known, to try things out"


def flags(parser: ArgumentParser) -> None:
    from unscene.synthetic.plan import MovingScenes

    parser.add_argument(
        "out",
        type=str,
        help="folder to write: new, empty, or of an earlier run, which is continued",
    )
    parser.add_argument(
        "--workers", type=int, default=2, help="number of threads; they do not change the result"
    )
    parser.add_class_arguments(MovingScenes, as_group=True)


def run(values: Namespace) -> None:
    from unscene.synthetic.generate import MovingScenes, generate

    spec = {k: v for k, v in values.as_dict().items() if k not in ("out", "workers")}
    scenes = MovingScenes(**spec)
    report = generate(expand_home(values.out), scenes, workers=values.workers)
    print(f"{report.videos} videos in {report.out}: train.csv, seen.csv, unseen.csv")
    # The default clip is larger and longer than these videos.
    clip = f"--size {min(scenes.size, 36)} --frames 8 --stride 2"
    train = shlex.quote(str(report.train))
    print(f"look at them: unscene views {train} {clip}")
    print(f"train on them: unscene pretrain {train} --encoder r3d-narrow {clip} --max_steps 500")
