"""The experiment that evaluates encoders without training, and the tables that they stand in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from unscene.encoders import create_encoder, descriptors
from unscene.results.rows import DESCRIPTORS, Row, read_rows
from unscene.results.tables import make_tables

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"


@pytest.fixture
def described(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    monkeypatch.setattr(descriptors, "read_flow", descriptors.read_flow)  # restored afterwards
    import descriptors as experiment

    return experiment


def test_shared_flow_gives_each_descriptor_its_own_numbers(
    described: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    coarse = torch.rand(2, 3, 5, 12, 12, generator=torch.Generator().manual_seed(0))
    clip = torch.nn.functional.interpolate(coarse, size=(5, 48, 48), mode="trilinear")
    alone = {name: create_encoder(name)(clip) for name in described.COLUMNS}
    calls = []
    read = described.read_flow
    monkeypatch.setattr(described, "read_flow", lambda *a, **k: calls.append(1) or read(*a, **k))
    together, color = described.groups()
    assert [one.spec.name for one in (*together, *color)] == [*described.COLUMNS, "color"]
    for part in together:
        expected = alone[part.spec.name]
        assert part.spec == create_encoder(part.spec.name).spec
        assert torch.allclose(part(clip.clone()), expected, atol=1e-6)
        assert len(expected.unique()) > 5  # something moves, so equal is no accident
    assert len(calls) == 1


def _row(method: str, test: dict[str, Any], **changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "data": "arid6",
        "split": "other places",
        "label": "label",
        "n": 9,
        "seconds": 0.0,
    }
    made = Row(
        method=method, metric="retrieval_r1", value=0.5, ci95=(0.4, 0.6), seed=0, test=test,
        **fields | {"encoder": "r3d-narrow"} | changes,
    )  # fmt: skip
    return vars(made)


def test_descriptors_are_lent_to_the_tables_of_their_footage_only(
    described: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import write_results

    settings = [("all", ""), ("long", "brightened, 1000 steps"), ("all", "brightened")]
    trained = [_row("dsm", {"pretrain": p, "note": note}) for p, note in settings]
    bright = _row("hof", {"note": "brightened"}, encoder="hof")
    other = _row("hof", {"note": "brightened"}, encoder="hof", split="leave one scene out")
    generated = _row("hof", {"note": "", "correlation": 0.9}, encoder="hof", data="moving scenes")
    assert write_results._lend([bright, generated], []) == [bright, generated]
    lent = write_results._lend([*trained, bright, other, generated], trained)
    assert [(row["split"], row["test"].get("pretrain"), row["test"]["note"]) for row in lent] == [
        ("other places", "all", "brightened"),
        ("other places", "long", "brightened, 1000 steps"),
        ("leave one scene out", None, "brightened"),
    ]


def test_standardized_rows_are_shown_only_where_they_are_asked_for(described: Any) -> None:
    from sections import Section

    section = Section("heading", "text", (), ("retrieval_r1",), where={"note": ""})
    row = {"test": {"note": "", "standardize": True}}
    assert not section.matches(row)
    assert section.matches({"test": {"note": ""}})
    assert replace(section, where={"note": "", "standardize": True}).matches(row)


def test_documents_give_numbers_of_the_rows(described: Any) -> None:
    rows = read_rows(described.ROWS / "descriptors.jsonl.gz")
    root = EXPERIMENTS.parent
    pages = {"README.md": ("*", 2), "docs/methods.md": ("`", 3)}
    for page, (mark, digits) in pages.items():
        lines = (root / page).read_text(encoding="utf-8").splitlines()
        for method in sorted(DESCRIPTORS & {row["method"] for row in rows}):
            (line,) = [one for one in lines if one.startswith(f"| {mark}{method}{mark} |")]
            known = {
                f"{cell.value:.{digits}f} [{cell.low:.{digits}f}, {cell.high:.{digits}f}]"
                for table in make_tables([row for row in rows if row["method"] == method])
                for cells in table.lines.values()
                for cell in cells.values()
            }
            given = [cell for cell in line.split(" | ")[1:] if "[" in cell]
            assert given
            assert {cell.strip(" |") for cell in given} <= known, (page, method)


@pytest.mark.slow
def test_every_table_of_encoders_on_real_footage_has_the_descriptors(described: Any) -> None:
    import write_results
    from sections import DESCRIBED, REAL, SECTIONS

    asked = [s for s in SECTIONS if DESCRIBED in s.files and s.methods[: len(REAL)] == REAL]
    assert len(asked) == 3
    tables = [table for section in asked for table in write_results._make_tables(section)]
    bright = [table for table in tables if "brightened" in table.title]
    assert len(bright) > 10
    for table in bright:
        assert table.descriptors == {"hof", "mbh", "hof+mbh", "energy", "color"}, table.title
