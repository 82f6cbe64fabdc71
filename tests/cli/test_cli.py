"""`unscene`: quick to answer, exit codes, whole runs through main."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from unscene import __version__
from unscene.cli.main import main
from unscene.errors import UnsceneError
from unscene.results.rows import read_rows
from unscene.synthetic.generate import ScenesReport

Flags = Callable[..., list[str]]
Captured = pytest.CaptureFixture[str]
_HEAVY = "torch", "lightning", "av", "cv2", "sklearn", "tqdm"
_PROBE = f"""
import sys
from unscene.cli.main import main
try:
    status = main(sys.argv[1:])
except SystemExit as left:
    status = left.code or 0
print("loaded:", [name for name in {_HEAVY!r} if name in sys.modules], file=sys.stderr)
sys.exit(status)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "status", "said"),
    [
        (["--help"], 0, "pretrain"),
        (["evaluate", "--help"], 0, "finetune"),
        (["evaluate", "retrieve", "--help"], 0, "--encoder"),
        (["evaluate", "finetune", "--help"], 0, "--labels"),
        (["results", "--help"], 0, "--markdown"),
        (["--version"], 0, f"unscene {__version__}\n"),
        (["pretrain", "data", "--tempurature", "1"], 2, "did you mean --temperature?"),
        (["evaluate", "retrieve", "data", "--encodr", "x"], 2, "did you mean --encoder?"),
        (["evaluate", "retrieve", "data", "--lr", "3"], 2, "unknown flag '--lr'. See --help"),
        (["pretrain", "data", "--method", "cdm"], 1, "did you mean cmd?"),
        (["pretrian"], 2, "unknown command 'pretrian'; did you mean pretrain? Known: demo,"),
        (["evaluate", "retreive"], 2, "did you mean retrieve?"),
        (["pretrain", "data", "--method", "DSM"], 1, "'DSM'; did you mean dsm? Known: cmd,"),
        (["pretrain", "data", "--method", "zzz"], 1, "unknown method 'zzz'. Known: cmd,"),
        (["reproduce", "table1-dsm-c4d"], 1, "did you mean table1-dsm-c3d"),
        (["results", "--metrics", "A", "runs"], 1, "results first; --metrics took A, runs"),
        (["pretrain", "data", "--method", "dms"], 1, "did you mean dsm?"),
        (["evaluate", "finetune", "data"], 1, "--train"),
        (["views", "data", "--seed=-1"], 1, "seed -1: must not be negative"),
        (["pretrain", "--frames", "8", "data", "--lr=-1"], 1, "lr -1.0: must be above 0"),
        (["pretrain", "--warp", "false", "--frames", "8"], 1, "no DATA: give a folder of videos"),
        (["views", "--warp", "false"], 2, "required: data; see unscene views --help"),
        (["pretrain"], 1, "no DATA"),
    ],
)
def test_help_and_mistakes_load_nothing_heavy(line: list[str], status: int, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROBE, *line], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == status, done.stderr
    assert said in done.stdout + done.stderr
    assert "loaded: []" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("line", "status", "said"),
    [
        (["pretrain", "--method", "moco", "--help"], 0, "--temperature"),
        (["views", "data", "--queue", "3"], 2, "unknown flag '--queue'. See --help"),
        (["pretrain", "data", "--lr", "fast"], 2, "--lr 'fast': must be a number"),
        (["pretrain", "data", "--method=moco", "--warp=true"], 1, "it is for dsm, dsm-triplet"),
    ],
)
def test_settings_of_a_method_are_checked_with_the_method(
    line: list[str], status: int, said: str, capsys: Captured
) -> None:
    """These import the method's file, and so torch."""
    try:
        found = main(line)
    except SystemExit as left:
        found = int(left.code or 0)
    captured = capsys.readouterr()
    assert found == status
    assert said in captured.out + captured.err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["--size", "big"], "--size 'big': must be a whole number"),
        (["--drops", "3"], "--drops '3': must be a list"),
        (["--flow", "raft"], "--flow 'raft': must be one of 'auto', 'dis', 'codec'"),
        (["--warp", "perhaps"], "--warp 'perhaps': must be true or false"),
        (["--devices", "some"], "--devices 'some': must be a whole number or one of 'auto'"),
        (["--encoder_options", "wide"], "--encoder_options 'wide': must be a table"),
    ],
)
def test_a_wrong_value_is_one_line(line: list[str], said: str, capsys: Captured) -> None:
    assert main(["pretrain", "data", *line]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("audit x --encoder a --fail-below low", "--fail_below 'low': must be a number"),
        ("scenes x --shapes bar", "--shapes 'bar': must be a list: [bar]"),
        ("scenes x --speed 3", "--speed '3': must be a list, such as [2, 20]"),
        ("pretrain x --drops 3", "--drops '3': must be a list: [3]"),
        ("pretrain x --shift_range 3", "--shift_range '3': must be a list, such as [2, 20]"),
        ("pretrain x --method hdc --stage_weights a", "must be a list, such as [2, 20]"),
    ],
)
def test_a_list_is_shown_as_it_is_typed(line: str, said: str, capsys: Captured) -> None:
    assert main(line.split()) == 2
    error = capsys.readouterr().err
    assert error.endswith(f"{said}\n")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        ("swap", ["swap"]),
        ("swap time", ["swap", "time"]),
        ("swap,time", ["swap", "time"]),
        ("[swap,time]", ["swap", "time"]),
        ("[swap, my.module:Mine]", ["swap", "my.module:Mine"]),
        ("['swap', \"time\"]", ["swap", "time"]),
        (None, None),
    ],
)
def test_measures_as_words_or_as_a_list(
    typed: str | None, wanted: list[str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}

    def audit(*_: object, **settings: Any) -> Any:
        given.update(settings)
        return SimpleNamespace(models=[])

    monkeypatch.setattr("unscene.audit.run.audit", audit)
    flag = [] if typed is None else ["--measures", *typed.split()]
    assert main(["audit", "x", "--encoder", "a", *flag]) == 0
    assert given["measures"] == wanted


@pytest.mark.parametrize("typed", ["swao", "[swao,time]", "time swao"])
def test_a_mistyped_measure(typed: str, capsys: Captured) -> None:
    assert main(["audit", "x", "--encoder", "r3d-narrow", "--measures", *typed.split()]) == 1
    assert "unknown measure 'swao'; did you mean swap? Known: swap, time" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("scenes", "required: out; see unscene scenes --help"),
        ("audit", "required: data; see unscene audit --help"),
        ("evaluate retrieve", "required: data; see unscene evaluate retrieve --help"),
        ("evaluate", "no protocol; name one of retrieve, probe, finetune, decouple, or see"),
    ],
)
def test_what_is_missing_is_named_as_it_is_typed(line: str, said: str, capsys: Captured) -> None:
    assert main(line.split()) == 2
    assert said in capsys.readouterr().err


def test_shell_completion_knows_every_command_and_its_flags(capsys: Captured) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--print_completion=shtab-bash"])
    assert left.value.code == 0
    script = capsys.readouterr().out
    assert {"--temperature", "--fail-below", "--plot"} <= set(re.findall(r"--[\w-]+", script))


def test_no_command_and_missing_arguments(capsys: Captured) -> None:
    assert main([]) == 2
    page = capsys.readouterr().err
    assert all(f"\n    {name} " in page for name in ("demo", "audit", "scenes", "doctor"))
    assert main(["evaluate", "retrieve"]) == 2
    assert "data" in capsys.readouterr().err


def test_without_an_encoder_histograms_of_flow_are_taken(
    moving: ScenesReport, tmp_path: Path, capsys: Captured
) -> None:
    line = ["evaluate", "retrieve", str(moving.train), "--label", "motion", "--clips", "1"]
    assert main([*line, "--workers", "0", "--out", str(tmp_path / "rows.jsonl")]) == 0
    assert "hof+mbh" in capsys.readouterr().out


@pytest.mark.slow
def test_pretrain_and_evaluate(
    flags: Flags, moving: ScenesReport, tmp_path: Path, capsys: Captured
) -> None:
    out = tmp_path / "run"
    assert main(flags(out, method="moco", max_steps=2)) == 0
    said = capsys.readouterr()
    assert "finished after 2 of 2 steps" in said.out
    assert str(out / "encoder.safetensors") in said.out
    assert "GPU available" not in said.err + said.out

    rows = tmp_path / "rows.jsonl"
    line = ["evaluate", "retrieve", str(moving.train), "--encoder", str(out), "--clips", "1"]
    assert main([*line, "--workers", "0", "--out", str(rows)]) == 0
    said = capsys.readouterr()
    assert re.match(r"metric +moco +untrained +chance +n\nretrieval_r1 .* 8\n", said.out)
    assert said.out.endswith(f"\nrows: {rows}\n")
    record, *_, last = read_rows(rows)
    assert (record["method"], record["steps"]) == ("moco", 2)
    assert (last["method"], last["twin_of"]) == ("random", record["run"])

    line = ["evaluate", "probe", str(moving.seen), "--train", str(moving.train)]
    line += ["--encoder", str(out), "--clips", "1", "--workers", "0", "--no-baseline"]
    assert main(line) == 0
    assert re.match(r"metric +moco +chance +n\nprobe_top1 .* 4\n", capsys.readouterr().out)

    table = tmp_path / "table.md"
    line = ["results", str(rows), "--markdown", str(table), "--plot", str(tmp_path / "plot.png")]
    assert main([*line, "--metrics", "retrieval_r1"]) == 0
    said = capsys.readouterr().out
    assert re.search(rf"moco +{record['value']:.3f}", said)
    twin = next(one for one in read_rows(rows) if one["twin_of"] and "r1" in one["metric"])
    assert re.search(rf"random +{twin['value']:.3f}", said)
    assert "random: untrained network of the same architecture" in said
    assert f"| moco | {record['value']:.3f}" in table.read_text()
    assert (tmp_path / "plot.png").is_file()
    latex = tmp_path / "table.tex"
    line = ["results", str(rows), "--latex", str(latex), "--name", f"{record['run'][:5]}=MoCo & co"]
    assert main([*line, "--metrics", "retrieval_r1"]) == 0
    assert re.search(
        rf"MoCo & co +{record['value']:.3f}.* {record['run']}", capsys.readouterr().out
    )
    assert rf"MoCo \& co & {record['value']:.3f}" in latex.read_text()
    assert main(["results", str(rows), "--name", "moco"]) == 1
    assert "write RUN=NAME" in capsys.readouterr().err

    line = ["evaluate", "finetune", str(moving.seen), "--train", str(moving.train), "--max_steps"]
    line += ["2", "--encoder", str(out), "--out", str(tmp_path / "tuned"), "--batch_size", "2"]
    assert main([*line, "--workers", "0", "--clips", "1"]) == 0
    said = capsys.readouterr().out
    assert re.match(r"metric +moco +chance +n\nfinetune_top1", said)
    assert f"finetune --resume --out {tmp_path / 'tuned'} --baseline true\n" in said

    line = ["evaluate", "decouple", str(moving.seen), "--encoder", str(out), "--workers", "0"]
    assert main(line) == 0
    assert re.match(
        r"metric +moco +untrained +chance +n\ndecoupling_trained .* 0.500", capsys.readouterr().out
    )

    # The saved configuration takes flags beside it, and finds its own folder taken.
    config = ["pretrain", "--config", str(out / "config.yaml")]
    assert main(config) == 1
    assert "already holds a run" in capsys.readouterr().err
    again = tmp_path / "again"
    assert main([*config, "--out", str(again)]) == 0
    encoders = [(folder / "encoder.safetensors").read_bytes() for folder in (out, again)]
    assert encoders[0] == encoders[1]

    assert main(["pretrain", "--resume", "--out", str(out), "--lr", "0.5"]) == 1
    assert "lr: was 0.001, now 0.5" in capsys.readouterr().err


@pytest.mark.slow
def test_ctrl_c_saves_and_resume_finishes(flags: Flags, tmp_path: Path, capsys: Captured) -> None:
    out = tmp_path / "run"
    line = flags(out, method="moco", max_steps=100_000)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    run = subprocess.Popen(
        [sys.executable, "-m", "unscene", *line],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        deadline = time.monotonic() + 120
        while not list(out.glob("tensorboard/events*")) and time.monotonic() < deadline:
            assert run.poll() is None, run.communicate()
            time.sleep(0.2)
        time.sleep(1)
        run.send_signal(signal.SIGINT)
        output, error = run.communicate(timeout=60)
    finally:
        run.kill()
    assert run.returncode == 130, error
    assert "Traceback" not in error
    assert "stopping after this step" in output
    assert f"continue with: unscene pretrain --resume --out {out}" in output
    steps = json.loads((out / "summary.json").read_text())["steps"]
    assert 0 <= steps < 100_000
    # So many steps would take long: shorten the plan on disk, which is what --resume reads.
    plan = (out / "config.yaml").read_text()
    (out / "config.yaml").write_text(plan.replace("max_steps: 100000", f"max_steps: {steps + 2}"))
    assert main(["pretrain", "--resume", "--out", str(out)]) == 0
    assert f"finished after {steps + 2} of {steps + 2} steps" in capsys.readouterr().out


def test_names_in_a_configuration(tmp_path: Path, capsys: Captured) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("encodr: r3d18\n")
    assert main(["pretrain", "data", "--config", str(config)]) == 1
    assert "unknown setting 'encodr'; did you mean encoder?" in capsys.readouterr().err
    # What a recipe calls its data is a name and no place.
    assert main(["pretrain", "--config", "hdc-kinetics-r3d18"]) == 1
    assert "no DATA: give a folder" in capsys.readouterr().err


def test_scenes(tmp_path: Path, capsys: Captured) -> None:
    line = ["scenes", str(tmp_path / "s"), "--train_videos", "1", "--seen_videos", "0"]
    line += ["--unseen_videos", "0", "--frames", "2", "--size", "32", "--workers", "1"]
    assert main([*line, "--object_size", "[8, 10]", "--speed", "[1, 2]"]) == 0
    assert "1 videos" in capsys.readouterr().out
    assert (tmp_path / "s" / "train" / "00000.mp4").is_file()


def test_scenes_prints_commands_that_fit_its_videos(tmp_path: Path, capsys: Captured) -> None:
    """The default clip spans 61 frames, a generated video has 40."""
    out = tmp_path / "my scenes"
    line = ["scenes", str(out), "--train_videos", "2", "--seen_videos", "0", "--unseen_videos", "0"]
    assert main([*line, "--workers", "1"]) == 0
    _, views, pretrain = capsys.readouterr().out.splitlines()
    words = shlex.split(views.removeprefix("look at them: unscene "))
    assert words[:2] == ["views", str(out / "train.csv")]
    assert main([*words, "--out", str(tmp_path / "views.png")]) == 0
    assert "shorter" not in capsys.readouterr().err
    encoder, steps = ["--encoder", "r3d-narrow"], ["--max_steps", "500"]
    assert shlex.split(pretrain)[3:] == [
        *("unscene", "pretrain", words[1], *encoder, *words[2:], *steps)
    ]


def test_scenes_of_figures(tmp_path: Path, capsys: Captured) -> None:
    line = ["scenes", str(tmp_path / "s"), "--kind", "figures", "--train_videos", "1"]
    line += ["--seen_videos", "0", "--unseen_videos", "0", "--frames", "32", "--size", "32"]
    assert main([*line, "--camera", "[pan]", "--workers", "1"]) == 0
    views = capsys.readouterr().out.splitlines()[1]
    assert (tmp_path / "s" / "train.camera.json").is_file()
    words = shlex.split(views.removeprefix("look at them: unscene "))
    assert main([*words, "--out", str(tmp_path / "views.png")]) == 0
    assert "shorter" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--kind figures --shapes [bar]", "--shapes has no meaning for --kind figures"),
        ("--kind=figures --smooth 1", "--smooth has no meaning for --kind figures"),
        ("--relations [mirror]", "--relations has no meaning for --kind moving-scenes"),
        ("--kind moving-scenes --noise 3", "it is a setting of figures"),
        ("--kind figure", "--kind 'figure': must be one of 'moving-scenes', 'figures'"),
        ("--kind figures --bodies [bird]", "bodies = ('bird',); it must name some of person"),
    ],
)
def test_scenes_refuses_what_has_no_meaning(
    line: str, said: str, tmp_path: Path, capsys: Captured
) -> None:
    assert main(["scenes", str(tmp_path / "s"), *line.split()]) != 0
    assert said in capsys.readouterr().err
    assert not (tmp_path / "s").exists()


@pytest.mark.filterwarnings("ignore")  # it imports every package there is
def test_doctor(capsys: Captured) -> None:
    status = main(["doctor"])
    said = capsys.readouterr().out
    assert status == 0, said
    assert f"unscene {__version__}" in said
    assert "h264" in said
    assert "everything that is needed works" in said


@pytest.mark.parametrize(
    ("raised", "status", "said"),
    [
        (UnsceneError("street.webm: no"), 1, "unscene doctor: street.webm: no"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (OSError(28, "No space left on device"), 1, "No space left on device"),
        (PermissionError(13, "Permission denied", "/x/y"), 1, "/x/y: Permission denied"),
    ],
)
def test_exit_codes(
    raised: BaseException,
    status: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Captured,
) -> None:
    def fail() -> None:
        raise raised

    monkeypatch.setattr("unscene.cli.doctor.check_installation", fail)
    assert main(["doctor"]) == status
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


@pytest.mark.slow
def test_names_that_are_no_utf8_are_printed(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9.mp4")).write_text("buy milk")
    done = subprocess.run(
        [sys.executable, "-m", "unscene", "prepare", str(tmp_path), "--check", "--workers", "0"],
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": "utf-8:strict"},
        timeout=60,
    )
    assert (done.returncode, b"Traceback" in done.stderr) == (1, False)
    assert b"  caf\\udce9.mp4   is not a video" in done.stdout


def test_a_bug_is_not_dressed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unscene.cli.doctor.check_installation", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["doctor"])
