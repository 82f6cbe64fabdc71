"""Names that are not UTF-8, places that cannot be written, and results that are there already."""

from __future__ import annotations

import csv
import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from unscene.cli.main import main
from unscene.results.rows import read_rows
from unscene.synthetic.generate import ScenesReport

Captured = pytest.CaptureFixture[str]
CAFE = os.fsdecode(b"caf\xe9")  # Latin-1, as old disks and archives have it
CLIP = ["--size", "32", "--frames", "4", "--stride", "1"]
FROZEN = ["--workers", "0", "--device", "cpu"]


@pytest.fixture(scope="module")
def cafe(tmp_path_factory: pytest.TempPathFactory, moving: ScenesReport) -> Path:
    """A folder whose classes and files are not UTF-8: caf<E9>/left<E9>/caf<E9>0.mp4 ..."""
    root = tmp_path_factory.mktemp("names") / CAFE
    with moving.train.open(newline="") as file:
        for number, row in enumerate(csv.DictReader(file)):
            folder = root / (row["label"] + os.fsdecode(b"\xe9"))
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(moving.train.parent / row["path"], folder / f"{CAFE}{number}.mp4")
    return root


@pytest.fixture(scope="module")
def run(
    tmp_path_factory: pytest.TempPathFactory, cafe: Path, flags: Callable[..., list[str]]
) -> Path:
    out = tmp_path_factory.mktemp("run") / "run"
    assert main(flags(out, data=str(cafe), max_steps=1)) == 0
    return out


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder of a test, named as old disks name them."""
    folder = tmp_path / CAFE
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_a_run_of_files_whose_names_are_not_utf8_is_resumed_and_says_which_they_were(
    run: Path, cafe: Path
) -> None:
    assert main(["pretrain", "--resume", "--out", str(run)]) == 0
    skipped = cafe / f"{CAFE}.mp4"
    skipped.write_text("buy milk")
    try:
        line = ["pretrain", "--config", str(run / "config.yaml"), "--out", str(run.parent / "2")]
        assert main([*line, "--max_steps", "1"]) == 0
    finally:
        skipped.unlink()
    summary = json.loads((run.parent / "2" / "summary.json").read_text(encoding="utf-8"))
    assert [one["path"] for one in summary["skipped"]] == [str(skipped)]


def test_rows_of_such_names_are_written_read_and_drawn(
    run: Path, cafe: Path, here: Path, capsys: Captured
) -> None:
    shutil.copytree(run, f"{CAFE}-run")  # an encoder may lie anywhere
    rows = Path(f"{CAFE}.jsonl")
    line = ["evaluate", "retrieve", str(cafe), "--encoder", f"{CAFE}-run", "--clips", "1"]
    line += [*FROZEN, "--no-baseline", "--out", str(rows)]
    assert main(line) == 0
    found = read_rows(rows)
    assert main(line) == 0  # the same rows replace what is there
    assert len(read_rows(rows)) == len(found)
    assert found[0]["metric"] == "retrieval_r1"
    assert {row["data"] for row in found} == {str(cafe)}
    line = ["results", str(rows), "--markdown", f"{CAFE}.md", "--latex", f"{CAFE}.tex"]
    assert main([*line, "--plot", f"{CAFE}.png"]) == 0
    assert r"caf\udce9" in Path(f"{CAFE}.md").read_text(encoding="utf-8")
    assert Path(f"{CAFE}.png").stat().st_size > 1000


def test_a_fine_tuning_on_such_names(run: Path, cafe: Path, here: Path) -> None:
    line = ["evaluate", "finetune", str(cafe), "--train", str(cafe), "--encoder", str(run)]
    few = ["--max_steps", "1", "--batch_size", "2", "--clips", "1", "--workers", "0"]
    assert main([*line, *few, "--out", "fine", "--accelerator", "cpu"]) == 0
    assert read_rows(Path("fine/results.jsonl"))[0]["config"]["train"].endswith(CAFE)
    assert "left\\udce9" in Path("fine/per_class.json").read_text(encoding="utf-8")


def test_an_audit_of_such_names(run: Path, cafe: Path, here: Path) -> None:
    line = ["audit", str(cafe), "--encoder", str(run), "--measures", "time", "reliance", *FROZEN]
    assert main([*line, "--out", f"{CAFE}-audit"]) == 0
    found = json.loads(Path(f"{CAFE}-audit/audit.json").read_text(encoding="utf-8"))
    assert found["data"]["source"] == str(cafe)
    Path(f"{CAFE}-audit/report.html").read_text(encoding="utf-8")


def test_pictures_tables_and_copies_of_such_names(cafe: Path, here: Path) -> None:
    assert main(["views", str(cafe), "--out", f"{CAFE}.png", "--videos", "1", *CLIP]) == 0
    line, alone = ["prepare", str(cafe)], ["--workers", "0"]
    assert main([*line, *alone, "--check", "--csv", f"{CAFE}.csv"]) == 0
    table = Path(f"{CAFE}.csv").read_text(encoding="utf-8", errors="surrogateescape")
    assert f"{CAFE}0.mp4" in table
    assert main([*line, f"{CAFE}-out", *alone]) == 0
    assert sorted(path.name for path in Path(f"{CAFE}-out").rglob("*.mp4")) == sorted(
        path.name for path in cafe.rglob("*.mp4")
    )


def test_features_of_such_names(run: Path, cafe: Path) -> None:
    import unscene

    embeddings = unscene.embed(cafe, run, clips_per_video=1, device="cpu")
    assert len(embeddings) == 8
    assert all(path.startswith(str(cafe)) for path in embeddings.paths)


def test_a_training_says_before_the_work_that_its_folder_has_such_a_name(
    here: Path, capsys: Captured
) -> None:
    data = ["--ucf101", "nowhere", "--hmdb51", "nowhere"]
    for line in (["pretrain", "nowhere"], ["demo"], ["reproduce", "table1-dsm-c3d", *data]):
        assert main([*line, "--out", f"{CAFE}-run"]) == 1
        assert "is not UTF-8, and neither torch nor TensorBoard take" in capsys.readouterr().err
    assert not list(here.iterdir())


@pytest.fixture
def read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A current folder in which nothing can be created, also not by root."""
    folder = tmp_path / "mounted"
    folder.mkdir()
    monkeypatch.chdir(folder)
    touch = Path.touch

    def refuse(path: Path, *args: object, **more: object) -> None:
        if path.absolute().is_relative_to(folder):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        touch(path, *args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "touch", refuse)
    yield folder
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    "line",
    [
        "audit nowhere --encoder r3d-narrow",
        "demo",
        "evaluate decouple nowhere --encoder nothing --out rows.jsonl",
        "evaluate finetune nowhere --train nowhere --encoder nothing",
        "evaluate probe nowhere --train nowhere --encoder nothing --out deep/rows.jsonl",
        "evaluate retrieve nowhere --encoder nothing --out rows.jsonl",
        "prepare nowhere --check --csv table.csv",
        "prepare DATA out --workers 0",
        "pretrain nowhere",
        "reproduce table1-dsm-c3d --ucf101 nowhere --hmdb51 nowhere",
        "results nowhere --markdown table.md",
        "results nowhere --plot plot.png",
        "scenes scenes",
        "views nowhere",
    ],
)
def test_a_place_that_cannot_be_written_is_reported_before_the_work(
    line: str, read_only: Path, moving: ScenesReport, capsys: Captured
) -> None:
    # Videos, encoders and rows that do not exist are not yet looked for.
    assert main(line.replace("DATA", str(moving.train)).split()) == 1
    said = capsys.readouterr()
    assert f"cannot be written: {read_only}: Read-only file system; name another" in said.err
    assert "checking" not in said.err


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("audit nowhere --encoder r3d-narrow --out .", ["audit.json", "report.html"]),
        ("demo --out .", ["report.html", "audit.json", "results.jsonl", "views.png"]),
        ("prepare nowhere --check --csv table.csv", ["table.csv"]),
        ("results nowhere --markdown README.md", ["README.md"]),
        ("results nowhere --latex table.tex", ["table.tex"]),
        ("results nowhere --plot plot.png", ["plot.png", "plot-2.png"]),
        ("views nowhere", ["views.png"]),
    ],
)
def test_results_that_are_there_are_replaced_only_where_the_user_says_so(
    line: str, names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in names:
        file = tmp_path / name
        file.write_text("mine")
        assert main(line.split()) == 1
        assert f"{name}: is there already; pass --overwrite" in capsys.readouterr().err
        assert file.read_text() == "mine"
        if not line.startswith("demo"):  # which replaces only what it wrote
            assert main([*line.split(), "--overwrite"]) == 1
            assert "nowhere: does not exist" in capsys.readouterr().err
        file.unlink()


def test_a_training_does_not_replace_an_encoder(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "encoder.safetensors").write_text("weeks of work")
    for line in ("pretrain nowhere", "evaluate finetune nowhere --train nowhere --encoder c3d"):
        assert main([*line.split(), "--out", str(tmp_path)]) == 1
        assert "already holds an encoder" in capsys.readouterr().err
