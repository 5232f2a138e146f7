# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from lingbot_core.bench import report
from lingbot_core.errors import OutputError


def test_p90_of_one_value_is_that_value() -> None:
    assert report.p90([3.0]) == 3.0


def test_p90_lies_linearly_between_neighbours() -> None:
    assert report.p90([float(value) for value in range(11)]) == 9.0
    assert report.p90([0.0, 10.0]) == pytest.approx(9.0)
    assert report.p90([10.0, 0.0]) == pytest.approx(9.0)


def test_table_has_a_line_per_row_and_as_many_cells_as_headings() -> None:
    lines = report.table(["a", "b"], [[1, "x"], [2, "y"]]).splitlines()
    assert lines == ["| a | b |", "| --- | --- |", "| 1 | x |", "| 2 | y |"]


def test_results_are_appended_and_figures_of_all_sections_merged(tmp_path: Path) -> None:
    results, figures = tmp_path / "RESULTS.md", tmp_path / "figures.json"
    results.write_text("# Results\n")
    sections = [
        report.Section("One", {"hardware": "a card"}, "text", {"chunks": [1]}),
        report.Section("Two", {"hardware": "a card"}, "more", {"groups": [2]}),
    ]
    report.write(sections, figures, results)
    assert results.read_text() == (
        "# Results\n\n## One\n\n- hardware: a card\n\ntext\n\n## Two\n\n- hardware: a card\n\nmore\n"
    )
    assert json.loads(figures.read_text()) == {"hardware": "a card", "chunks": [1], "groups": [2]}


def test_file_in_a_folder_that_is_not_there_is_refused_before_measuring(tmp_path: Path) -> None:
    report.check_outputs(None, tmp_path / "figures.json")
    with pytest.raises(OutputError, match="absent"):
        report.check_outputs(tmp_path / "absent" / "figures.json", None)


def test_versions_and_hardware_name_what_runs() -> None:
    assert torch.__version__ in report.versions(torch.device("cpu"))
    assert "CPU" in report.hardware(torch.device("cpu"))
