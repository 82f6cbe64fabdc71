"""What the demo adds to the audit's report: its headline, numbers, examples and footage, as HTML.

    heading    what the numbers say, and the table of the methods
    sections   what the encoders find, the footage, how the encoders were trained

Films and texts come from what was measured; see `findings` for the sentences.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

from unscene.audit.report.charts import color, track
from unscene.audit.result import Section
from unscene.data.catalog import Video
from unscene.demo.findings import Finding, headline, sentences
from unscene.evaluate.features import Features
from unscene.evaluate.retrieval import find_neighbors
from unscene.html.document import paragraph, percent, prose
from unscene.html.pictures import data_uri, film
from unscene.results.rows import UNTRAINED
from unscene.results.statistics import Score
from unscene.synthetic.generate import MovingScenes
from unscene.video.clip import ClipBatch
from unscene.video.decode import read_clips
from unscene.video.sampling import Request
from unscene.views import picture
from unscene.views.augment import BasicAugmentation, make_view

# What each method learns from, in a sentence or two.
_IDEAS = {
    UNTRAINED: "the same network with random weights. It learned nothing and is the reference.",
    "moco": "two crops of one clip must look more alike than clips of other videos. The background "
    "is enough to tell.",
    "dsm-triplet": "a clip must be nearer to itself with a warped scene than to itself with a "
    "disturbed motion. The background does not help there.",
    "unscene": "like DSM (Triplet), but half the time, what moves is cut out and laid over the "
    "scene of another video. It also learns to predict what moves after the clip.",
}


@dataclass(frozen=True)
class Example:
    """A test video, and the training video that is nearest to it for every method.

    Attributes:
        query: from a new scene.
        nearest: by method.
    """

    query: Video
    nearest: Mapping[str, Video]

    def hit(self, method: str) -> bool:
        """Whether the nearest video shows the query's motion."""
        return self.nearest[method].value("motion") == self.query.value("motion")


def choose_examples(features: Mapping[str, Mapping[str, Features]]) -> list[Example]:
    """For every motion the first video of the new scenes, so that no one picks what looks good.

    Args:
        features: by method, then by split; of the same videos for all methods.
    """
    videos = next(iter(features.values()))["unseen"].videos
    queries = first_of_each_motion(videos)
    found: list[dict[str, Video]] = [{} for _ in queries]
    for method, splits in features.items():
        gallery = splits["train"]
        rows = [splits["unseen"].videos.index(video) for video in queries]
        indices = find_neighbors(splits["unseen"].values[rows], gallery.values, 1)[:, 0].tolist()
        for example, index in zip(found, indices, strict=True):
            example[method] = gallery.videos[index]
    return [Example(query, each) for query, each in zip(queries, found, strict=True)]


def first_of_each_motion(videos: Sequence[Video]) -> list[Video]:
    """The first video of every motion, in the order of the videos."""
    first: dict[str, Video] = {}
    for video in videos:
        first.setdefault(video.value("motion"), video)
    return list(first.values())


def heading(findings: Sequence[Finding], footage: MovingScenes) -> Section:
    """The headline and the table of the methods."""
    steps = max(one.steps for one in findings)
    lines = "".join(f"<li>{prose(line)}</li>" for line in sentences(findings))
    return Section(
        headline(findings).replace(" %", "\u00a0%"),
        paragraph(
            "Every video shows one object that moves (the motion) over a background (the scene). "
            f"A search takes a test video and finds the one among {footage.train_videos:,} "
            "training videos that an encoder considers most similar. Does it show the same "
            "motion? The test videos play in new scenes, so that the scene cannot help. All "
            f"methods trained on the same videos, without labels, for {steps} steps."
        )
        + _table(findings)
        + f'<ul class="evidence">{lines}</ul>',
    )


def _table(findings: Sequence[Finding]) -> str:
    first = findings[0]
    texts = ("Method", "Same motion<br>in new scenes", "Same scene<br>in training scenes")
    head = "".join(f'<th scope="col">{text}</th>' for text in texts)
    rows = [
        f'<tr class="{color(place)}"><th scope="row"><span class="named">{escape(one.title)}'
        f"</span></th>{_cell(one.motion)}{_cell(one.scene)}</tr>"
        for place, one in enumerate(findings)
    ]
    guesses = [
        prose(percent(one)) if (one := score.chance) else ""
        for score in (first.motion, first.scene)
    ]
    rows.append(
        f'<tr><th scope="row">Guessing</th>{"".join(f"<td>{g}</td>" for g in guesses)}</tr>'
    )
    note = (
        "Share of searches whose nearest video matches (recall@1), with 95 % intervals over "
        f"{first.motion.n} and {first.scene.n} test videos; the dashed line is guessing. The first "
        "column should be high. The second shows how much an encoder depends on the scene; it is "
        "not a score to win."
    )
    return (
        f'<table class="methods"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody>'
        f'</table><p class="note">{prose(note)}</p>'
    )


def _cell(score: Score) -> str:
    """A number with its interval, as text and as a mark between 0 and 100 %."""
    low, high = (100 * end for end in score.ci95)
    interval = prose(f"[{low:.0f}, {high:.0f}]")
    return f"<td><b>{prose(percent(score.value))}</b> {interval}{track(score)}</td>"


def examples_section(examples: Sequence[Example], findings: Sequence[Finding]) -> Section:
    """Every example with its nearest videos, and how many of them are hits."""
    cards = []
    for example in examples:
        figures = [
            f'<figure class="query"><h4>Test video</h4>{_film(example.query)}'
            f"<figcaption>{_caption(example.query)}</figcaption></figure>"
        ]
        figures += [_found(example, one) for one in findings]
        cards.append(f'<article class="example">{"".join(figures)}</article>')
    counts = [
        f"{one.title} {sum(example.hit(one.method) for example in examples)}" for one in findings
    ]
    return Section(
        "What the encoders find",
        paragraph(
            "For each motion, the first test video on the list, whatever it shows. Beside it, the "
            "training video that each encoder considers most similar: ✓ the same motion, ✗ another."
        )
        + paragraph(
            f"Same motion in these {len(examples)} searches: {', '.join(counts)}. "
            f"The table above counts all {findings[0].motion.n}."
        )
        + f'<div class="pair">{"".join(cards)}</div>',
    )


def _found(example: Example, one: Finding) -> str:
    video, hit = example.nearest[one.method], example.hit(one.method)
    kind, sign, word = ("hit", "✓", "the same motion") if hit else ("miss", "✗", "another motion")
    return (
        f'<figure class="{kind}"><h4>{escape(one.title)}</h4>{_film(video, f", {word}")}'
        f'<figcaption><b title="{word}">{sign}</b> {_caption(video)}</figcaption></figure>'
    )


def footage_section(videos: Sequence[Video], footage: MovingScenes, tests: int) -> Section:
    """What the footage shows, with one film of each motion."""
    films = "".join(
        f"<figure>{_film(video)}<figcaption>{_caption(video)}</figcaption></figure>"
        for video in first_of_each_motion(videos)
    )
    return Section(
        "The footage",
        paragraph(
            f"The videos are generated. There are {len(footage.motions)} motions and "
            f"{footage.scenes} training scenes; a scene is a kind of background, and every video "
            f"shows another piece of that kind. In training, each motion plays in its own scene in "
            f"{percent(footage.correlation)} of the videos, as skiing happens on snow: an encoder "
            f"can tell them apart by the background alone. The {tests:,} test videos break that "
            f"tie. Their motions play in {footage.unseen_scenes} scenes that training never showed."
        )
        + f'<div class="shots wide">{films}</div>',
    )


def training_section(findings: Sequence[Finding], views: Path) -> Section:
    """What every method learns from, its training time, and the views of one."""
    items = "".join(
        f"<li><b>{escape(one.title)}</b>: {prose(_IDEAS[one.method])}"
        + (f" Training took {one.seconds:.0f}\u00a0s." if one.steps else "")
        + "</li>"
        for one in findings
    )
    alt = (
        "Filmstrips of training videos: the clip, the positive with the same motion and another "
        "scene, the negative with the same scene and a disturbed motion, and the motion to predict."
    )
    return Section(
        "What the methods learn from",
        f"<ul>{items}</ul>"
        + paragraph(
            "Below, what unscene trains on, drawn by `unscene views`. Read it from left to right: "
            "a grid that went through the same changes, frames in order of time, and one row of "
            "pixels over time. There, steady motion draws steady lines, and in the negative they "
            "break."
        )
        + f'<div class="scroll"><img class="picture" src="{data_uri(views.read_bytes())}" '
        f'alt="{escape(alt)}"></div>',
    )


def limits_section(seed: int) -> Section:
    """What the demo does not show."""
    limits = (
        "The footage is generated: one object, clean motions, and a scene bias set by hand. It "
        "shows the mechanism, not how well this works on your videos; `unscene pretrain` and "
        "`unscene evaluate` tell that.",
        "The encoders are small and their training is short: compare nothing here with published "
        "numbers.",
        f"Every method was trained once (seed {seed}). The intervals come from resampling the test "
        "videos; another random start would change the numbers further.",
    )
    return Section(
        "Limits",
        f"<ul>{''.join(f'<li>{prose(text)}</li>' for text in limits)}</ul>"
        + paragraph("Below, an audit asks the same encoders further questions."),
    )


def _caption(video: Video) -> str:
    # The longest motion breaks at its seam where a thumbnail is narrow.
    motion = escape(video.value("motion")).replace("rclockwise", "r&shy;clockwise")
    return f"{motion}<br>scene {escape(video.value('scene'))}"


def _film(video: Video, also: str = "") -> str:
    """Eight frames of a video as a moving thumbnail."""
    request = Request(0.0, {"clip": tuple(range(0, 24, 3))})
    batch = ClipBatch.of([read_clips(video.path, request)["clip"]])
    size = int(batch.sizes.min())
    basic = BasicAugmentation(size, short_side=1.0, random=False)
    view = make_view(batch, basic.center(batch.sizes), size=size)[0]
    frames = np.asarray(picture.to_rgb(view, basic.mean, basic.std))
    shown = f"clip: motion {video.value('motion')}, scene {video.value('scene')}{also}"
    return film(frames, shown)
