"""The pages in docs say what happens."""

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parent.parent / "docs"


def test_the_page_about_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = (DOCS / "training.md").read_text("utf-8")
    blocks = re.findall(r"```python\n(.*?)```\n\n```\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == text.count("```python") == 10
    namespace: dict[str, Any] = {}
    for program, shown in blocks:
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(compile(program, "training.md", "exec"), namespace)
        assert out.getvalue() == shown, program
