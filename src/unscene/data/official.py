"""The official lists of UCF101, HMDB51 and Kinetics -> videos, in the layouts people have on disk.

ucf101-1-train:ROOT    hmdb51-3-test:ROOT    kinetics-val:ROOT    kinetics-val:ROOT/val.csv

    lists                                            videos, with any video suffix
    ROOT/trainlist01.txt testlist01.txt              ROOT/UCF-101/Class/v_Class_g08_c01.avi
    ROOT/ucfTrainTestlist/ annotations/ splits/      ROOT/Class/ ROOT/videos/Class/
    ROOT/../ucfTrainTestlist/ ...                    ROOT/ ROOT/UCF-101/ ROOT/videos/

    ROOT/brush_hair_test_split1.txt ...              ROOT/hmdb51_org/brush_hair/x_brush_hair_0.avi
    ROOT/testTrainMulti_7030_splits/ splits/         ROOT/brush_hair/ ROOT/videos/brush_hair/
    ROOT/annotations/ test_train_splits/ ../ ...     odd characters kept, or replaced by _

    ROOT/train.csv val.csv validate.csv              ROOT/train/air drumming/ID_000010_000020.mp4
    ROOT/kinetics_400_val.csv kinetics_val.csv       ROOT/videos_train/air_drumming/ ROOT/train/
    ROOT/annotations/ splits/ kinetics400/ ...       ROOT/air_drumming/ ROOT/    also ID.mp4

Videos of UCF101 get a column "group" (g08; the clips of a group share person and scene). Files are
used in full: ID.mp4 has to be the trimmed clip. Videos that are listed but missing are skipped and
reported; videos that are not listed are ignored.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from unscene import files
from unscene.data.catalog import SUFFIXES, Catalog, Skipped, Video
from unscene.data.csv_table import read_csv
from unscene.errors import UnsceneError

_SPLIT = re.compile(r"(ucf101|hmdb51)-[123]-(train|test)|kinetics-(train|val|test)")
_KNOWN = (
    "known: ucf101-{1,2,3}-{train,test}, hmdb51-{1,2,3}-{train,test}, kinetics-{train,val,test}"
)
_PART = {"train": "train", "val": "val", "validate": "val", "validation": "val", "test": "test"}
# Folders with lists, as patterns relative to ROOT; the first one with any list is used.
_7030 = "testTrainMulti_7030_splits"
_UCF = (".", "ucfTrainTestlist", "annotations", "annotations/ucfTrainTestlist", "splits")
_HMDB = (".", _7030, "splits", "annotations", f"annotations/{_7030}", "test_train_splits")
_KINETICS = (".", "annotations", "splits", "kinetics[467]00*", "kinetics[467]00*/annotations")
_TEXT = re.compile(r"(train|test)list0[123]\.txt|classInd\.txt|.+_test_split[123]\.txt")


@dataclass(frozen=True)
class _Entry:
    """One line of a list; `stems` are possible stems of its file, best first."""

    stems: tuple[str, ...]
    label: str | None
    columns: dict[str, str] = field(default_factory=dict)
    wanted: bool = True  # it is in the split


@dataclass(frozen=True)
class _Listing:
    """The videos in `root` that the list `name` contains, and how to find their files."""

    name: str
    root: Path
    containers: str  # matches names (as `_fold` spells them) of folders with classes or videos
    loose: bool = True  # file names may have odd characters replaced
    entries: list[_Entry] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)


def list_official(data: str) -> Catalog | None:
    """List the videos of SPLIT:ROOT without opening any; None if `data` has another form.

    Raises:
        UnsceneError: the split is unknown, or its lists or all of its videos are missing.
    """
    split, colon, where = data.partition(":")
    # A single letter is a drive, and // follows the scheme of an address.
    if not colon or not re.fullmatch(r"[\w-]{2,}", split) or where.startswith("//"):
        return None
    if not names_split(split):
        raise UnsceneError(
            f"{data}: does not exist, and {split!r} is not an official split; {_KNOWN}"
        )
    dataset, *words = split.lower().split("-")
    root = files.expand_home(where)
    if not where or not (root.is_dir() or (dataset == "kinetics" and root.is_file())):
        remedy = "give the folder with the lists and videos after the colon"
        raise UnsceneError(f"{data}: {where!r} does not exist or is not a folder; {remedy}")
    readers: dict[str, Callable[..., _Listing]] = {"ucf101": _ucf101, "hmdb51": _hmdb51}
    return _catalog(f"{split}:{root}", readers.get(dataset, _kinetics)(root, *words))


def names_split(text: str) -> bool:
    """Whether the text is the name of an official split: "ucf101-1-train", for example."""
    return bool(_SPLIT.fullmatch(text.lower()))


def is_list(file: Path) -> bool:
    """Whether a file is an official list, by its name or, a CSV, by its columns."""
    try:
        if file.suffix.lower() != ".csv":
            return bool(_TEXT.fullmatch(file.name)) and file.is_file()
        with file.open(encoding="utf-8-sig", errors="replace") as lines:
            return "youtube_id" in lines.readline()
    except OSError:
        return False


def lists_of(root: Path) -> dict[Path, Path]:
    """Find the official lists that apply to the videos in `root`.

    Returns:
        The path of each list, by its path relative to a folder that could replace `root`.
    """

    def below(folder: Path, places: tuple[str, ...]) -> dict[Path, Path]:
        files = (file for place in dict.fromkeys(places) for file in folder.glob(f"{place}/*"))
        return {file.relative_to(folder): file for file in sorted(files) if is_list(file)}

    own = below(root, (*_UCF, *_HMDB, *_KINETICS))
    # From the parent folder only lists that are used: `_find_lists` stops at the first match.
    kinds = {_kind(file) for file in own}
    above = below(root.parent, (*_UCF, *_HMDB))
    of_text = {to: file for to, file in above.items() if file.suffix.lower() != ".csv"}
    return own | {to: file for to, file in of_text.items() if _kind(file) not in kinds}


def _kind(file: Path) -> str:
    """Lists of one kind are read together: a split of HMDB51 has one file per class."""
    return file.name[file.name.rfind("_test_split") :] if "_test_split" in file.name else file.name


def _ucf101(root: Path, number: str, part: str) -> _Listing:
    listing = _Listing(f"{part}list0{number}.txt", root, "ucf101|videos?")
    files = _find_lists(root, (*_UCF, *(f"../{place}" for place in _UCF)), listing.name)
    for _, line in _lines(files, r"(?:.*/)?([^/]+)/([^/]+?)(?:\s+\d+)?", listing):
        columns = {"group": g[1]} if (g := re.search(r"_(g\d+)_c\d+", line[2])) else {}
        listing.entries.append(_Entry((_stem(line[2]),), line[1], columns))
    return listing


def _hmdb51(root: Path, number: str, part: str) -> _Listing:
    listing = _Listing(f"*_test_split{number}.txt", root, "hmdb51(org)?|videos?")
    files = _find_lists(root, (*_HMDB, *(f"../{place}" for place in _HMDB)), listing.name)
    mark = {"train": "1", "test": "2"}[part]
    for file, line in _lines(files, r"(.+?)\s+([012])", listing):
        label = file.name[: -len(listing.name) + 1]
        listing.entries.append(_Entry((_stem(line[1]),), label, wanted=line[2] == mark))
    return listing


def _kinetics(given: Path, part: str) -> _Listing:
    spellings = [name for name, meant in _PART.items() if meant == part]
    file, root = given, given
    if given.is_file():
        folder = given.absolute().parent
        root = folder.parent if folder.name in ("annotations", "splits") else folder
    else:
        names = [f"{start}{name}.csv" for start in ("", "k*[-_]") for name in spellings]
        file, *others = _find_lists(given, _KINETICS, *names, columns=True)
        if others:
            raise UnsceneError(f"{given}: {file} or {others[0]}? Give the file after the colon")
    containers = (
        rf"(k|kinetics)?([467]00)?(2020)?(videos?)?({'|'.join(spellings)})?(videos?|256|320)?"
    )
    listing = _Listing(file.name, root, f"{containers}|compress|replacement.*", loose=False)
    columns = ("label", "youtube_id", "time_start", "time_end", "split")
    table = read_csv(file, "youtube_id", ",".join(columns))
    listing.skipped.extend(table.skipped)
    rows = ([row.get(column, "") for column in columns] for _, row in table.rows)
    for label, video, *times, split in rows:
        stem = "_".join([video, *(time.partition(".")[0].zfill(6) for time in times)])
        wanted = _PART.get(split.lower(), part) == part
        listing.entries.append(_Entry((stem, video), label or None, wanted=wanted))
    return listing


def _find_lists(
    root: Path, places: tuple[str, ...], *names: str, columns: bool = False
) -> list[Path]:
    """Find files of these names in the first possible folder.

    Args:
        columns: prefer files with the columns of a list, over other tables of the same name.
    """
    for place in places:
        if found := {file for name in names for file in root.glob(f"{place}/{name}")}:
            lists = {file for file in found if is_list(file)} if columns else found
            return sorted(lists or found)
    looked = f"looked for {', '.join(names)} in its folders {', '.join(places)}"
    raise UnsceneError(f"{root}: its lists are missing; {looked}")


def _lines(files: list[Path], form: str, listing: _Listing) -> Iterator[tuple[Path, re.Match[str]]]:
    for file in files:
        for number, line in enumerate(_read(file).split("\n"), start=1):
            if match := re.fullmatch(form, line.strip()):
                yield file, match
            elif line.strip():
                listing.skipped.append(Skipped(f"{file}:{number}", "is not a line of such a list"))


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise UnsceneError(f"{file}: cannot be read ({error.strerror})") from error


def _catalog(source: str, listing: _Listing) -> Catalog:
    videos: list[Video] = []
    skipped: list[Skipped] = []
    for entry, path in zip(listing.entries, _match(listing), strict=True):
        if entry.wanted and path is not None:
            videos.append(Video(path, entry.label, columns=entry.columns))
        elif entry.wanted:
            name = f"{entry.label or ''}/{entry.stems[0]}".lstrip("/")
            skipped.append(Skipped(name, f"listed in {listing.name}, but not on disk"))
    catalog = Catalog(source, tuple(videos), (*listing.skipped, *skipped), str(listing.root))
    if not videos:
        looked = f"{listing.root}, its folders for videos and their class folders"
        problem = f"none of its {len(skipped)} listed videos is in {looked}"
        problem = problem if skipped else f"{listing.name} lists no video of this split"
        raise UnsceneError(f"{source}: {problem}.\n{catalog.summary()}")
    return catalog


def _match(listing: _Listing) -> list[str | None]:
    """Find the file of every entry: of the same name or, if `loose`, the only similar one left."""
    found = _index(listing)
    paths: list[str | None] = []
    for entry in listing.entries:
        keys = [(own, stem) for stem in entry.stems for own in (_fold(entry.label or ""), "")]
        paths.append(next((found[key] for key in keys if key in found), None))
    if listing.loose:
        taken = set(paths)
        similar, missing = defaultdict[str, list[str]](list), defaultdict[str, list[int]](list)
        for (_, stem), path in found.items():
            if path not in taken:
                similar[_plain(stem)].append(path)
        for i, entry in enumerate(listing.entries):
            if paths[i] is None:
                missing[_plain(entry.stems[0])].append(i)
        for name, places in missing.items():
            if len(places) == len(similar[name]) == 1:
                paths[places[0]] = similar[name][0]
    return paths


def _index(listing: _Listing) -> dict[tuple[str, str], str]:
    """Index every video by (class folder or "", stem), reading each folder once.

    Many copies have folders of frames beside the videos: only containers and folders of listed
    classes are entered. If the list has no labels, any folder may hold its videos.
    """
    found: dict[tuple[str, str], str] = {}
    classes = {_fold(entry.label) if entry.label else None for entry in listing.entries}

    def walk(folder: str, own: str, depth: int) -> None:
        try:
            with os.scandir(folder) as content:
                entries = sorted(content, key=lambda entry: entry.name)
        except OSError as error:
            listing.skipped.append(Skipped(folder, f"cannot be read ({error.strerror})"))
            return
        for entry in entries:
            if (stem := _stem(entry.name)) != entry.name:
                found.setdefault(("" if None in classes else own, stem), entry.path)
            elif depth and not entry.name.startswith(".") and entry.is_dir():
                name = _fold(entry.name)
                if not own and re.fullmatch(listing.containers, name):
                    walk(entry.path, "", depth - 1)
                elif name == own or (not own and (None in classes or name in classes)):
                    walk(entry.path, name, depth - 1)  # class/class: unpacked twice

    walk(str(listing.root.absolute()), "", 4)  # no deeper: links may form a cycle
    return found


def _stem(name: str) -> str:
    """Remove the suffix of a file name if it is a video's."""
    stem, dot, suffix = name.rpartition(".")
    return stem if f"{dot}{suffix}".lower() in SUFFIXES else name


def _plain(stem: str) -> str:
    """Reduce a stem to what stays the same when a tool replaces special characters."""
    return re.sub(r"[^0-9A-Za-z]+", "_", stem).strip("_").lower()


@cache  # 240,000 videos, 400 labels
def _fold(folder: str) -> str:
    """Unify "massaging person's head", massaging_persons_head and MassagingPersonsHead."""
    return re.sub(r"[\W_]", "", folder.lower())
