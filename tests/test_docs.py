"""The pages in docs say what happens."""

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parent.parent / "docs"


@pytest.mark.parametrize(("page", "count"), [("training.md", 10), ("insight.md", 8)])
def test_the_programs_on_a_page(
    page: str, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = (DOCS / page).read_text("utf-8")
    blocks = re.findall(r"```python\n(.*?)```\n\n```\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == text.count("```python") == count
    namespace: dict[str, Any] = {}
    for program, shown in blocks:
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(compile(program, page, "exec"), namespace)
        assert out.getvalue() == shown, program
