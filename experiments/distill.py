"""What does an encoder of motion teach an encoder of RGB on real footage?

    python experiments/distill.py --seeds 0 1 2

The student is r3d-narrow at 56 pixels, 13 frames at stride 2; the teacher is `motion`, which reads
DIS flow of the same frames at 80 pixels. It is trained on the brightened real videos of
real_scenes.py (`all`: 346, with no label), which no test video of "other places" is among. MoCo
has the same encoder, clips, videos and number of steps; `random` is the encoder untrained. Tests
are those of real_scenes.py. All encoders are evaluated in one pass over the videos. Rows go to
experiments/rows/distill.jsonl.gz; what is in that file is not run again.
"""

from __future__ import annotations

from itertools import product

from real_scenes import SETTINGS, begin, extract_places, real_flags, score_places
from trained import Training, append_and_show, rows_in

CLIP = {"frames": 13, "stride": 2}
STEPS = 400


def main() -> None:
    parser = real_flags("distill", __doc__)
    parser.set_defaults(methods=["random", "distill", "moco"], footage="brightened", steps=STEPS)
    args, tables = begin(parser)
    settings = SETTINGS | CLIP | {"max_steps": args.steps}
    training = Training(args.work, f"{args.pretrain}-{args.steps}", settings)
    note = f"{args.footage}, {args.steps} steps"
    test = {"pretrain": args.pretrain, "note": note}
    known = rows_in(args.out)
    wanted = [
        (seed, method)
        for seed, method in product(args.seeds, args.methods)
        if not training.done(known, method, seed, clips=args.clips, **test)
    ]
    encoders = [training.encoder(name, tables[args.pretrain], seed) for seed, name in wanted]
    found = extract_places(encoders, tables, args.clips) if encoders else []
    for (seed, method), (spec, features) in zip(wanted, found, strict=True):
        for apart in ({}, {"standardize": True}):
            rows = score_places(spec, features, tables, args.clips, seed, test | apart)
            append_and_show(args.out, rows, method=method)


if __name__ == "__main__":
    main()
