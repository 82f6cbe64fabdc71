"""What does the audit find on real footage, for encoders trained on generated footage?

The encoders of moving_scenes.py (random, moco, dsm-triplet, unscene) are audited on the 150 videos
of ARID's training split, six actions in the dark, brightened: is what moves in one video, laid over
the background of another, nearer to the video of the motion or to that of the background?

    python experiments/audit_real.py --scenes runs/moving_scenes --stride 4 --footage brightened

Rows go to experiments/rows/audit_real.jsonl.gz. What is in that file is not run again.
"""

from __future__ import annotations

from itertools import product

from audit_controls import BATCH, audit_rows
from real_scenes import GENERATED, begin, encoder_of, note_of, real_flags, training_of
from trained import append, rows_in

from unscene.audit.run import audit
from unscene.encoders.resolving import ResolvedEncoder


def main() -> None:
    parser = real_flags("audit_real", __doc__)
    parser.set_defaults(methods=["random", "moco", "dsm-triplet", "unscene"], pretrain=GENERATED)
    args, tables = begin(parser)
    known, runs = rows_in(args.out), training_of(args)
    videos, test = tables["arid6-train"], {"note": note_of(args), "pretrain": args.pretrain}
    for seed, method in product(args.seeds, args.methods):
        if runs.done(known, method, seed, stride=args.stride, batch_size=BATCH, **test):
            continue
        opened = ResolvedEncoder(encoder_of(method, seed, args, tables), method, "")
        found = audit(
            videos,
            [opened],
            measures=("swap", "time"),
            seed=seed,
            batch_size=BATCH,
            baseline=False,  # one of the methods is "random"
        )
        append(args.out, audit_rows(found, seed, data="arid6", split="train", test=test), method)
        print(f"seed {seed} {method}: {found.models[0].verdict.sentence}", flush=True)


if __name__ == "__main__":
    main()
