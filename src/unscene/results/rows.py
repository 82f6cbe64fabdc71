"""Results as data: one row for each number, in .jsonl or .jsonl.gz files.

A file holds two kinds of lines. The configuration of a run stands once, in front of its rows:

    {"run": "75b99d48d2", "config": {"lr": 0.001, ...}}
    {"method": "dsm", ..., "metric": "retrieval_r1", "value": 0.42, ..., "run": "75b99d48d2"}
    {"method": "dsm", ..., "metric": "probe_top1", "value": 0.40, ..., "run": "75b99d48d2"}

A configuration holds for all rows of its run that follow, until the file has another one for the
same run. So files may be appended to and concatenated, and rows never get separated from their
configuration: a row without one is an error. Earlier versions wrote the configuration into every
row; such files, and files with both kinds of rows, are read as well.

Only this file knows the format. `read_rows` returns each row as a dictionary that is complete, with
its own "config" and "run".
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from unscene.config import FREE, RENAMED
from unscene.errors import UnsceneError
from unscene.files import check_writable, encode_text, write_atomically
from unscene.results.statistics import Score

Record = Mapping[str, Any]
UNTRAINED = "random"  # as a method
# Methods that need no training: encoders without weights (encoders/descriptors.py).
DESCRIPTORS = frozenset({"color", "energy", "hof", "hof+mbh", "hof-vectors", "mbh"})
SUFFIXES = (".jsonl", ".jsonl.gz")
# Where a configuration holds that of the training before it: fine-tuned, or trained further.
EARLIER = ("pretrained", "began")
# Settings that name a place or say how a run is carried out, but not what it computes; and the
# seed, which a row has as a field of its own.
NOT_DECIDING = FREE | {"data", "train", "encoder", "seed"}
NEEDED = ("method", "data", "split", "label", "metric", "value", "ci95", "n", "seed")
# What a measurement finds; all other fields say what was measured. The run's id and its training
# videos are compared separately, because rows of earlier versions lack them.
_FOUND = ("value", "ci95", "n", "seconds", "classes", "chance", "versions", "outcomes")
_OUTCOMES = {1.0: "1", 0.0: "0", None: "-"}  # characters of `Row.outcomes`
_FOUND_IN_TEST = ("chosen", "gallery", "left_out")


@cache
def package_versions() -> dict[str, str]:
    """Versions of what a number depends on. "source" changes with every line of this package."""
    found = {name: version(name) for name in ("unscene", "torch", "av", "lightning")}
    digest, package = sha256(), Path(__file__).resolve().parents[1]
    for path in sorted(package.rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode() + path.read_bytes())
    return found | {"source": digest.hexdigest()[:12]}


@dataclass(frozen=True)
class Row:
    """One result.

    Attributes:
        method: "random", "moco", "dsm", "dsm-triplet" ...
        data: where the videos came from.
        split: the part of the data that the number is about.
        label: label column.
        metric: "retrieval_r1", "probe_top1" ...
        value: the number.
        ci95: its 95 % confidence interval.
        n: number of videos (or clips) scored.
        seed: of the encoder's training; of a fine-tuning, its own.
        seconds: training time of the encoder, 0 for none.
        encoder: architecture.
        fingerprint: identifies the test videos, "+" the gallery or training videos of the protocol.
        views: clips per video at test time.
        steps: training steps of the encoder.
        config: resolved configuration of the encoder's training, see `training_settings`.
        test: resolved settings of the protocol, and what it chose.
        classes: the same number for each class.
        chance: expected value for guessing. For recall it is that of a gallery in random order.
            None where it is not known.
        outcomes: of each test video, if the number is a share of videos: "hits" is a text with one
            character for each video of the first fingerprint, in its order: "1" right, "0" wrong,
            "-" could not be read. "files" numbers the videos' files, where some share one. Empty
            where outcomes are not kept. `paired` compares methods by them.
        versions: of this package and its dependencies, see `package_versions`.
        trained_on: identifies the videos that the encoder was trained on, those of its last
            training first, joined by "+". Empty if it is untrained or not known.
        name: what the user calls the run; tables show it instead of the method.
        twin_of: of an untrained network that was evaluated as the yardstick of another one of its
            architecture: the id of the run of that one.
        run: id of the run, computed from the other fields, see `compute_run_id`.
    """

    method: str
    data: str
    split: str
    label: str
    metric: str
    value: float
    ci95: tuple[float, float]
    n: int
    seed: int
    seconds: float
    encoder: str = ""
    fingerprint: str = ""
    views: int = 1
    steps: int = 0
    config: dict[str, Any] = field(default_factory=dict)
    test: dict[str, Any] = field(default_factory=dict)
    classes: dict[str, float] = field(default_factory=dict)
    chance: float | None = None
    outcomes: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=package_versions)
    trained_on: str = ""
    name: str = ""
    twin_of: str = ""
    run: str = field(init=False, default="")

    def __post_init__(self) -> None:
        # Computed anew by `dataclasses.replace`, so that it always agrees with the other fields.
        object.__setattr__(self, "run", compute_run_id(vars(self)))

    @classmethod
    def from_record(cls, record: Record) -> Row:
        """The row that `read_rows` returned as a dictionary."""
        known = {one.name for one in fields(cls) if one.init} & record.keys()
        return cls(**{name: record[name] for name in known} | {"ci95": tuple(record["ci95"])})


class Encoder(Protocol):
    """What rows say about an encoder; `encoders.EncoderSpec` is one."""

    @property
    def name(self) -> str: ...
    @property
    def frames(self) -> int: ...
    @property
    def stride(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def trained_on(self) -> Mapping[str, Any]: ...


def build_rows(
    encoder: Encoder,
    scores: Mapping[str, Score],
    *,
    data: str,
    split: str,
    label: str,
    fingerprint: str,
    views: int,
    seed: int | None = None,
    test: Mapping[str, Any] | None = None,
    name: str = "",
    twin_of: str = "",
) -> list[Row]:
    """Turn scores by metric into rows.

    Args:
        encoder: describes the encoder. Its `trained_on` gives method, seed, steps, seconds and
            settings of its training; if it is empty, the encoder is an untrained one.
        data, split, label, fingerprint, views, test, name, twin_of: fields of `Row`.
        seed: of the weights of an encoder whose training is not known.
    """
    history = encoder.trained_on
    clip = {"frames": encoder.frames, "stride": encoder.stride, "size": encoder.size}
    return [
        Row(
            method=str(history.get("method", UNTRAINED)),
            data=data,
            split=split,
            label=label,
            metric=metric,
            value=found.value,
            ci95=found.ci95,
            n=found.n,
            seed=int(history.get("seed", seed or 0)),
            seconds=float(history.get("seconds", 0.0)),
            encoder=encoder.name,
            fingerprint=fingerprint,
            views=views,
            steps=int(history.get("steps", 0)),
            config=training_settings(history),
            test=clip | dict(test or {}),
            classes=found.classes,
            chance=found.chance,
            outcomes=found.outcomes,
            trained_on="+".join(_training_videos(history)),
            name=name,
            twin_of=twin_of,
        )
        for metric, found in scores.items()
    ]


def is_descriptor(row: Record) -> bool:
    """Whether a row is of an encoder that needs no training.

    >>> is_descriptor({"method": "hof", "encoder": "hof"}), is_descriptor({"method": "dsm"})
    (True, False)
    """
    return row["method"] in DESCRIPTORS and row.get("encoder") == row["method"]


def training_settings(history: Record) -> dict[str, Any]:
    """The settings of a training, from the `trained_on` of an encoder.

    Under "began" are the method, steps, seed and settings of the training that it continued, under
    "weights" the start of the checksum of an encoder that comes with the package.
    """
    settings = dict(history.get("settings", {}))
    settings |= {"weights": history["weights"]} if "weights" in history else {}
    if before := history.get("began"):
        own = {name: before[name] for name in ("method", "steps", "seed") if name in before}
        settings["began"] = own | training_settings(before)
    return settings


def _training_videos(history: Record) -> list[str]:
    own = [str(history["data"])] if "data" in history else []
    before: Record = next((history[name] for name in EARLIER if history.get(name)), {})
    return own + (_training_videos(before) if before else [])


def compute_run_id(row: Record) -> str:
    """A short digest of what makes a run.

    That is its method, architecture, seed, steps, training videos and all settings that decide what
    a training computes. It does not depend on folders, or on what was measured: all rows of one
    trained encoder have the same id, on every machine.

    >>> row = {"method": "dsm", "encoder": "r3d18", "seed": 0, "steps": 10, "config": {"lr": 0.1}}
    >>> compute_run_id(row)
    '75b99d48d2'
    >>> compute_run_id(row | {"metric": "probe_top1", "config": {"lr": 0.1, "out": "runs/a"}})
    '75b99d48d2'
    >>> compute_run_id(row | {"seed": 1}) == compute_run_id(row)
    False
    """
    made = {name: row.get(name) for name in ("method", "encoder", "seed", "steps")}
    made["trained_on"] = row.get("trained_on", "")
    made["config"] = [
        {key: value for key, value in settings.items() if key not in NOT_DECIDING}
        | {"seed": settings.get("seed")}
        for settings in split_trainings(row).values()
    ]
    text = json.dumps(made, sort_keys=True, separators=(",", ":"), default=str)
    return sha256(text.encode()).hexdigest()[:10]


def split_trainings(row: Record) -> dict[str, dict[str, Any]]:
    """The settings of the last training under "", and of those before it, by what to call them.

    Settings of earlier versions have their present names.

    >>> split_trainings({"config": {"lr": 1, "pretrained": {"lr": 2, "began": {"lr": 3}}}})
    {'': {'lr': 1}, 'pretrained ': {'lr': 2}, 'pretrained began ': {'lr': 3}}
    """
    found: dict[str, dict[str, Any]] = {}
    name, config = "", dict(row.get("config", {}))
    while True:
        earlier = [before for before in EARLIER if isinstance(config.get(before), dict)]
        found[name] = {RENAMED.get(k, k): v for k, v in config.items() if k not in EARLIER}
        if not earlier:
            return found
        name, config = f"{name}{earlier[0]} ", config[earlier[0]]


def write_rows(path: Path, rows: Iterable[Row | Record]) -> None:
    """Write a file of rows, whole or not at all. An existing file is replaced.

    Args:
        path: a name that ends in .gz is compressed.
        rows: rows, or complete dictionaries as `read_rows` returns them.
    """
    content = encode_text("".join(_format_lines(rows)))
    with write_atomically(path) as temporary:
        # Without the time of writing, so that the same rows are the same bytes.
        temporary.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def append_rows(path: Path, rows: Iterable[Row | Record]) -> None:
    """Append rows to a file, which is created if it does not exist.

    The file is written anew and then renamed. Several processes may append to it at the same time.

    Raises:
        UnsceneError: the file holds something other than rows.
    """
    with _locked(path):
        write_rows(path, [*check_rows_file(path), *rows])


def update_rows(path: Path, rows: Sequence[Row]) -> None:
    """Append rows to a file; a measurement that is already there is replaced.

    It is the same measurement if it is of the same run with the same videos, protocol and settings.

    Raises:
        UnsceneError: the file holds something other than rows.
    """
    with _locked(path):
        new = {_measurement(asdict(row)): row for row in rows}

        def is_replaced(row: Record) -> bool:
            by = new.get(_measurement(row))
            videos = {row.get("trained_on", ""), by.trained_on if by else ""} - {""}
            return by is not None and len(videos) < 2  # earlier versions did not record them

        kept = [row for row in check_rows_file(path) if not is_replaced(row)]
        write_rows(path, [*kept, *rows])


def check_rows_file(path: Path) -> list[dict[str, Any]]:
    """Check before the work that rows can be added to a file, and return those that it holds.

    Raises:
        UnsceneError: the file holds something other than rows, or cannot be written.
    """
    check_writable(path)
    rows = read_rows(path) if path.exists() else []
    if not all(isinstance(row, dict) and "metric" in row for row in rows):
        raise UnsceneError(
            f"{path}: holds no rows of results, and is not overwritten; give another"
        )
    return rows


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Read a .jsonl or .jsonl.gz file of rows.

    Returns:
        One dictionary per row, with the row's run and configuration. Lines that are JSON but not
        rows are returned as they are.

    Raises:
        UnsceneError: the file cannot be read, or the configuration of a row is missing.
    """
    try:
        lines = [json.loads(line) for line in _read(path).splitlines() if line.strip()]
    except (OSError, EOFError, ValueError) as error:
        raise UnsceneError(f"{path}: cannot be read as rows of JSON ({error})") from error
    configs: dict[str, dict[str, Any]] = {}
    found = []
    for line in lines:
        if _is_configuration(line):
            configs[line["run"]] = line["config"]
            continue
        if isinstance(line, dict) and all(name in line for name in NEEDED):
            if "run" in line and "config" not in line:
                if line["run"] not in configs:
                    raise UnsceneError(
                        f"{path}: has no configuration of run {line['run']}; copy the line "
                        f'{{"run": "{line["run"]}", "config": ...}} in front of its rows'
                    )
                line["config"] = configs[line["run"]]
            elif is_row(line):
                line.setdefault("run", compute_run_id(line))
        found.append(line)
    return found


def write_outcomes(hits: Sequence[float | None], files: Sequence[int]) -> dict[str, Any]:
    """Outcomes of videos as `Row` keeps them.

    Args:
        hits: 1 or 0 for each video, None if it could not be read.
        files: number of each video's file.

    >>> write_outcomes([1, 0, None], [0, 1, 2])
    {'hits': '10-'}
    >>> write_outcomes([1, 0, 1], [0, 0, 1])
    {'hits': '101', 'files': [0, 0, 1]}
    """
    text = {"hits": "".join(_OUTCOMES[hit] for hit in hits)}
    return text if len(set(files)) == len(files) else text | {"files": list(files)}


def read_outcomes(row: Record) -> tuple[list[float | None], list[int]] | None:
    """What `write_outcomes` was given; None where a row has no outcomes that can be read.

    >>> read_outcomes({"outcomes": {"hits": "10-"}})
    ([1.0, 0.0, None], [0, 1, 2])
    """
    kept: Record = row.get("outcomes", {})
    hits, files = kept.get("hits"), kept.get("files")
    if not isinstance(hits, str) or not hits or not set(hits) <= set(_OUTCOMES.values()):
        return None
    numbers = list(range(len(hits))) if files is None else files
    if not isinstance(numbers, list) or len(numbers) != len(hits):
        return None
    meanings = {character: hit for hit, character in _OUTCOMES.items()}
    return [meanings[character] for character in hits], numbers


def is_row(line: Any) -> bool:
    """Whether a line of JSON is a row: it has all that is needed, with values of the right kind."""
    if not isinstance(line, dict) or not all(name in line for name in NEEDED):
        return False
    words = (line[name] for name in ("method", "data", "split", "label", "metric"))
    ends = line["ci95"]
    numbers = (line["value"], *(ends if isinstance(ends, list) else ()), line["n"], line["seed"])
    tables = [line.get(name, {}) for name in ("test", "config", "versions", "outcomes")]
    return (
        all(isinstance(word, str) for word in words)
        and isinstance(ends, list)
        and len(ends) == 2
        and all(map(_is_number, numbers))
        and all(isinstance(table, dict) for table in tables)
        and all(isinstance(line.get("config", {}).get(name, {}), dict) for name in EARLIER)
        and (line.get("chance") is None or _is_number(line["chance"]))
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_configuration(line: Any) -> bool:
    return (
        isinstance(line, dict)
        and line.keys() == {"run", "config"}
        and isinstance(line["run"], str)
        and isinstance(line["config"], dict)
    )


def _measurement(row: Record) -> str:
    """What a row measures, without what it found."""
    test = {k: v for k, v in row.get("test", {}).items() if k not in _FOUND_IN_TEST}
    left_out = (*_FOUND, "run", "name", "trained_on")
    rest = {k: v for k, v in row.items() if k not in left_out}
    if not rest.get("twin_of"):  # rows of earlier versions lack it
        rest.pop("twin_of", None)
    return json.dumps(rest | {"test": test}, sort_keys=True)


def _format_lines(rows: Iterable[Row | Record]) -> Iterator[str]:
    """A line for each row, and in front of it that of its configuration where it is new."""
    configs: dict[str, str] = {}
    for row in rows:
        record = asdict(row) if isinstance(row, Row) else dict(row)
        run = record.setdefault("run", compute_run_id(record))
        config = json.dumps(record.pop("config", {}), ensure_ascii=False)
        if configs.get(run) != config:
            configs[run] = config
            yield f'{{"run": {json.dumps(run)}, "config": {config}}}\n'
        yield json.dumps(record, ensure_ascii=False) + "\n"


def _read(path: Path) -> str:
    content = path.read_bytes()
    return (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep other processes from changing files of rows in the same folder at the same time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:  # on Windows, where folders cannot be locked
        yield
        return
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems have no locks
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)
