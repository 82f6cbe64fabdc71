"""Does an index find moments, and how many labels does it take to name them?

    make find                                       # everything, rows in runs/find
    python experiments/find.py --encoders motion --seeds 0

Footage: ARID (../shared/data) if it is there, otherwise generated figures. Its test videos, from
other places than the examples, are joined to recordings of several actions in random order; so what
is searched is a stretch of a longer file. Its training videos are the examples. Both are indexed
together.

- **precision at 10**: of the 10 moments of the recordings that are nearest to an example, how many
  show its action? Every training video is a query; intervals are over queries.
- **F1**: a classifier is taught by three examples of each action, chosen by the seed, and names
  intervals of the recordings. F1 of time, the mean over actions; intervals are over recordings.
- **labels to 80 %**: examples are added six at a time, chosen by `unscene label` or at random. How
  many are needed until the F1 is 80 % of that of all of them?

Rows go to experiments/rows/find.jsonl.gz. What is in that file is not run again.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np
import torch
from trained import DATA, ROWS, append_and_show, rows_in

from unscene.data.listing import open_catalog
from unscene.files import write_atomically
from unscene.results.rows import UNTRAINED, build_rows
from unscene.results.statistics import Score, score
from unscene.search.build import build_index
from unscene.search.classifier import fit_classifier
from unscene.search.index import Index
from unscene.search.labels import Label
from unscene.search.moments import Moment
from unscene.search.predict import predict_windows
from unscene.search.scoring import score_intervals
from unscene.search.suggest import suggest_moments
from unscene.synthetic.figure_scenes import FigureScenes
from unscene.synthetic.generate import generate

ENCODERS = ("motion", "motion-vectors", "hof+mbh", "color", "motion-net")  # the last one untrained
K, EXAMPLES, STEP, SHARE = 10, 3, 6, 0.8
EACH = 6  # videos in a recording


class Footage:
    """Examples and recordings, in one folder, and what the recordings show when.

    Attributes:
        root: folder of both.
        name: of the data, for rows.
        examples: path and action of each example.
        truth: what the recordings show.
    """

    def __init__(self, work: Path, real: bool) -> None:
        self.rate = 30 if real else 15  # frames per second of all videos
        self.name = "arid6 recordings" if real else "generated recordings"
        self.root = work.resolve() / self.name.replace(" ", "-")
        parts = [
            list_arid(part) if real else list_figures(work, part) for part in ("train", "test")
        ]
        self.examples = [
            (self._copy(path, label), label) for path, label in sorted(parts[0], key=lambda e: e[1])
        ]
        self.truth = self._join(parts[1])

    @property
    def actions(self) -> list[str]:
        return sorted({label for _, label in self.examples})

    def _copy(self, path: Path, label: str) -> Path:
        target = self.root / "examples" / label / path.name
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
        return target

    def _join(self, videos: Sequence[tuple[Path, str]]) -> list[Label]:
        """Write recordings of several videos each; returns the stretches of their actions."""
        order = np.random.default_rng(0).permutation(len(videos)).tolist()
        truth = []
        for number, begin in enumerate(range(0, len(order), EACH)):
            path = self.root / "recordings" / f"{number:02}.mp4"
            at = 0.0
            some = [videos[i] for i in order[begin : begin + EACH]]
            for label, frames in join_videos(path, some, self.rate):
                truth.append(Label(str(path), at / self.rate, (at + frames) / self.rate, label))
                at += frames
        return truth


def list_arid(part: str) -> list[tuple[Path, str]]:
    paths = sorted((DATA / "arid6" / part).glob("*/*.mp4"))
    return [(path, path.parent.name) for path in paths]


def list_figures(work: Path, part: str) -> list[tuple[Path, str]]:
    """Generated figures: examples in training scenes, recordings in new ones."""
    spec = FigureScenes(
        train_videos=64, seen_videos=0, unseen_videos=64, frames=64, programs=8, correlation=0.0
    )
    made = work / "figures"
    report = generate(made, spec)
    table = report.train if part == "train" else report.unseen
    catalog = open_catalog(table)
    return [(Path(video.path), video.value("motion")) for video in catalog.videos]


def join_videos(path: Path, videos: Sequence[tuple[Path, str]], rate: int) -> list[tuple[str, int]]:
    """Write videos one after another into one file, unless it is there; returns their lengths."""
    lengths = []
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        return [(label, count_frames(video)) for video, label in videos]
    with write_atomically(path) as temporary, av.open(str(temporary), "w") as out:
        stream = None
        total = 0
        for video, label in videos:
            frames = 0
            with av.open(str(video)) as source:
                for frame in source.decode(video=0):
                    if stream is None:
                        stream = out.add_stream("libx264", rate=rate, options={"crf": "16"})
                        stream.width, stream.height = frame.width, frame.height
                        stream.pix_fmt = "yuv420p"
                    frame = frame.reformat(stream.width, stream.height, "yuv420p")
                    frame.pts, frame.time_base = total + frames, Fraction(1, rate)
                    out.mux(stream.encode(frame))
                    frames += 1
            total += frames
            lengths.append((label, frames))
        assert stream is not None
        out.mux(stream.encode())
    return lengths


def count_frames(path: Path) -> int:
    with av.open(str(path)) as source:
        return sum(1 for _ in source.decode(video=0))


def open_index(footage: Footage, encoder: str, work: Path) -> Index:
    """The index of all footage with an encoder, made if it is not there."""
    place = work.resolve() / f"index-{footage.name.split()[0]}-{encoder}"
    build_index(footage.root, place, encoder=encoder, workers=1)
    return Index.open(place)


def find_action(moment: Moment, truth: Sequence[Label]) -> str | None:
    """What a recording shows in the middle of a moment."""
    middle = (moment.start + moment.end) / 2
    for one in truth:
        if one.path == moment.path and one.start <= middle < one.end:
            return one.label
    return None


def measure_precision(index: Index, footage: Footage, show: int) -> Score:
    """Precision at 10 of all examples as queries; prints some of them."""
    hits, labels = [], []
    for number, (path, label) in enumerate(footage.examples):
        row = index.find_file(path)
        own = index.windows.vectors[index.windows.file == row]
        if not len(own):
            continue
        found = index.search(own, k=K, where="file LIKE 'recordings/%'")
        right = [find_action(moment, footage.truth) == label for moment in found]
        hits.append(sum(right) / K)
        labels.append(label)
        if show and number % max(1, len(footage.examples) // show) == 0:
            marks = "".join("+" if one else "." for one in right)
            print(f"  {label:<12}{path.name:<24}{marks}  nearest first; + shows the same action")
    return replace(score(np.array(hits), labels=labels), chance=chance_of(footage))


def chance_of(footage: Footage) -> float:
    """Expected precision of moments that are drawn by chance, the mean over the queries."""
    total = sum(one.end - one.start for one in footage.truth)
    share = {
        name: sum(one.end - one.start for one in footage.truth if one.label == name) / total
        for name in footage.actions
    }
    return float(np.mean([share[label] for _, label in footage.examples]))


def teach(index: Index, labels: Sequence[Label], footage: Footage, seed: int) -> Score:
    """F1 of the intervals that labels predict in the recordings."""
    windows, files = index.windows, index.files
    model = fit_classifier(windows, files, labels, index.about, still=index.still, seed=seed)
    found = predict_windows(model, windows, files, still=index.still)
    recordings = {one.path for one in footage.truth}
    mine = [one for one in found.intervals if one.path in recordings]
    return replace(
        score_intervals(mine, footage.truth, classes=footage.actions, seed=seed),
        chance=1 / len(footage.actions),
    )


def label_whole(path: Path, label: str, index: Index) -> Label:
    file = index.files[index.find_file(path)]
    return Label(file.path, 0.0, file.duration, label)


def choose_some(index: Index, footage: Footage, seed: int, each: int) -> list[Label]:
    """Some examples of each action."""
    rng = np.random.default_rng(seed)
    chosen = []
    for action in footage.actions:
        some = [path for path, label in footage.examples if label == action]
        for number in rng.permutation(len(some))[:each].tolist():
            chosen.append(label_whole(some[number], action, index))
    return chosen


def count_labels_needed(
    index: Index, footage: Footage, seed: int, by_us: bool, goal: float
) -> Score:
    """Labels needed to reach an F1, chosen by us or at random.

    Both begin with the same example of each action. Only examples can be labeled: recordings are
    the test. `classes` has the F1 on the way, by the number of labels.
    """
    rng = np.random.default_rng(seed)
    action_of = {str(path): label for path, label in footage.examples}
    labels = choose_some(index, footage, seed, 1)
    curve: dict[str, float] = {}
    while True:
        f1 = curve[str(len(labels))] = teach(index, labels, footage, seed).value
        left = sorted(action_of.keys() - {one.path for one in labels})
        if f1 >= goal or not left:
            count = float(len(labels))
            return Score(count, (count, count), 1, curve)
        asked = (
            ask_us(index, labels, left, seed) if by_us else rng.permutation(left)[:STEP].tolist()
        )
        labels += [label_whole(Path(path), action_of[path], index) for path in asked]


def ask_us(index: Index, labels: Sequence[Label], left: Sequence[str], seed: int) -> list[str]:
    """The next videos that `unscene label` would ask about, among the examples."""
    files = [number for number, file in enumerate(index.files) if file.path in set(left)]
    known = {one.path for one in labels}
    shown = np.isin(index.windows.file, files) | np.isin(
        index.windows.file, [n for n, file in enumerate(index.files) if file.path in known]
    )
    windows, still = index.windows[shown], index.still[shown]
    model = fit_classifier(windows, index.files, labels, index.about, still=still, seed=seed)
    found = suggest_moments(windows, index.files, labels, model, k=STEP, still=still, seed=seed)
    paths = list(dict.fromkeys(one.path for one in found if one.path in set(left)))
    return paths or list(left[:STEP])


class Record:
    """Measures what has no row yet, and writes it."""

    def __init__(self, index: Index, footage: Footage, out: Path) -> None:
        self.spec, self.footage, self.out = index.encoder.spec, footage, out
        self.known = {
            (row["method"], row["data"], row["metric"], row["test"].get("choice"))
            for row in rows_in(out)
        }

    def write(self, metric: str, measure: Callable[[], Score], choice: int, **test: object) -> None:
        """Append the row of a number. `choice` is the seed of what was chosen at random."""
        method = str(self.spec.trained_on.get("method", UNTRAINED))
        if (method, self.footage.name, metric, choice) in self.known:
            return
        rows = build_rows(
            self.spec,
            {metric: measure()},
            data=self.footage.name,
            split="other places",
            label="label",
            fingerprint=f"{self.footage.name}: {len(self.footage.truth)} actions",
            views=1,
            test={"choice": choice, **test},
        )
        append_and_show(self.out, rows)


def run(footage: Footage, name: str, args: argparse.Namespace) -> None:
    """All numbers of one encoder."""
    index = open_index(footage, name, args.work)
    record = Record(index, footage, args.out)
    print(f"{name}: {len(index)} windows", flush=True)
    record.write("precision_at_10", lambda: measure_precision(index, footage, show=5), 0)
    every = [label_whole(path, label, index) for path, label in footage.examples]
    whole = teach(index, every, footage, 0)
    record.write("f1_of_all_examples", lambda: whole, 0, labels=len(every))
    for seed in args.seeds:
        three = choose_some(index, footage, seed, EXAMPLES)
        record.write(
            "f1_of_3_examples", partial(teach, index, three, footage, seed), seed, labels=len(three)
        )
        for by_us in (True, False) if name == ENCODERS[0] else ():
            count = partial(count_labels_needed, index, footage, seed, by_us, SHARE * whole.value)
            chosen = "us" if by_us else "chance"
            record.write(f"labels_chosen_by_{chosen}", count, seed, goal=SHARE * whole.value)


def show_table(path: Path, data: str) -> None:
    """Print the rows of the footage: a line for each metric and seed, a column for each encoder."""
    cells: dict[tuple[str, int], dict[str, str]] = {}
    encoders: dict[str, None] = {}
    for row in rows_in(path):
        if row["data"] == data:
            encoders[row["method"]] = None
            low, high = row["ci95"]
            text = f"{row['value']:.2f} [{low:.2f}, {high:.2f}]"
            line = (row["metric"], row["test"]["choice"])
            cells.setdefault(line, {})[row["method"]] = (
                f"{row['value']:.0f}" if low == high else text
            )
    print(f"\n{data}; chance {chance_text(path, data)}; random: an untrained motion-net")
    print(f"{'':<34}" + "".join(f"{name:<20}" for name in encoders))
    for (metric, choice), found in sorted(cells.items()):
        shown = "".join(f"{found.get(name, ''):<20}" for name in encoders)
        print(f"{metric + f', seed {choice}':<34}{shown}")


def chance_text(path: Path, data: str) -> str:
    known = {row["chance"] for row in rows_in(path) if row["data"] == data and row["chance"]}
    return " to ".join(f"{one:.2f}" for one in sorted({min(known), max(known)}))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--encoders", nargs="+", default=list(ENCODERS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--generated", action="store_true", help="generated figures in any case")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path("runs", "find"))
    parser.add_argument("--out", type=Path, default=ROWS / "find.jsonl.gz")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    args.work.mkdir(parents=True, exist_ok=True)
    footage = Footage(args.work, real=(DATA / "arid6").is_dir() and not args.generated)
    for name in args.encoders:
        run(footage, name, args)
    show_table(args.out, footage.name)


if __name__ == "__main__":
    main()
