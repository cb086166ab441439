"""The pages in docs say what happens: every program runs, and prints what the page shows.

All ```python blocks of a page run in order in one namespace. A bare block right after one is what it prints.
``<!-- needs: scipy, dask -->`` names modules without which a page (first line) or the block below is skipped.
"""

import ast
import contextlib
import html
import importlib
import inspect
import io
import itertools
import os
import re
import shlex
import sys
import tomllib
import zlib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import bpkit
from bpkit.cli.parser import make_parser

DOCS = Path(__file__).parent.parent / "docs"
PAGES = sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))
PACKAGE = Path(bpkit.__file__).parent

FENCE = re.compile(r"^( *)(`{3,}|~{3,})(.*)$")
NEEDS = re.compile(r"<!-- needs: (.*?) -->")
LANGUAGES = {"", "python", "sh", "text", "toml"}


class Block(NamedTuple):
    """One fenced block of a page."""

    language: str
    text: str
    line: int
    needs: tuple[str, ...]
    follows: bool
    """Nothing but one empty line is between it and the block above."""


def blocks_of(text: str) -> Iterator[Block]:
    """The fenced blocks of a page."""
    lines = text.split("\n")
    start: int | None = None
    end = -2
    for i, line in enumerate(lines):
        fence = FENCE.match(line)
        if start is None and fence:
            start, mark, language = i, fence[2], fence[3].strip()
            assert not fence[1], f"line {i + 1}: no test runs an indented block; start it at the margin"
        elif start is not None and fence and fence[2] == mark and not fence[3]:
            needs = NEEDS.fullmatch(lines[start - 1]) if start else None
            wanted = tuple(needs[1].split(", ")) if needs else ()
            inside = "".join(f"{inner}\n" for inner in lines[start + 1 : i])
            yield Block(language, inside, start + 1, wanted, start == end + 2 and not lines[start - 1])
            start, end = None, i
    assert start is None, f"line {start}: this block does not end"


def absent(modules: tuple[str, ...]) -> list[str]:
    return [name for name in modules if find_spec(name) is None]


def run(page: str, text: str) -> int:
    """Run the programs of a page; how many there were."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    shown: str | None = None
    ran = 0
    blocks = [*blocks_of(text), Block("text", "", 0, (), False)]
    for block, following in itertools.pairwise(blocks):
        place = f"{page}, line {block.line}"
        assert block.language in LANGUAGES, f"{place}: no test runs a block of {block.language!r}"
        if block.language == "":
            assert block.follows and shown is not None, f"{place}: no program above prints this; say ```text"
        shown = following.text if following.language == "" and following.follows else None
        if block.language == "toml":
            tomllib.loads(block.text)
        elif block.language == "text":
            assert not is_python(block.text), f"{place}: this is Python; say ```python"
        elif block.language == "sh":
            commands(block.text, place)
            shown = "" if shown is None else shown
        elif block.language == "python":
            ran += 1
            shown = shown or ""
            if absent(block.needs):
                continue
            source = "\n" * block.line + block.text
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(compile(source, page, "exec"), namespace)
            assert out.getvalue() == shown, f"{place} prints something else"
    return ran


def is_python(text: str) -> bool:
    """Whether a block is a program: some statement in it is more than an expression."""
    try:
        program = ast.parse(text).body
    except SyntaxError:
        return False
    return any(not isinstance(line, ast.Expr | ast.AnnAssign) for line in program)


def commands(text: str, place: str) -> None:
    """Whether ``bpkit`` understands the lines that call it."""
    for line in text.replace("\\\n", " ").split("\n"):
        for part in re.split(r"&&|\|\|?|;", line):
            words = [word for word in shlex.split(part, comments=True) if "=" not in word or "/" in word]
            if words and words[0].rpartition("/")[2] == "bpkit" and "--help" not in words:
                _, unknown = make_parser().parse_known_args(words[1:])
                assert not unknown, f"{place}: bpkit does not know {unknown}"


@pytest.mark.parametrize("page", PAGES)
def test_the_programs_on_a_page(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = (DOCS / page).read_text("utf-8")
    needs = NEEDS.match(text)
    if needs and (missing := absent(tuple(needs[1].split(", ")))):
        pytest.skip(f"{page} needs {', '.join(missing)}")
    assert run(page, text) == text.count("\n```python\n")


@pytest.mark.parametrize(
    ("page", "complaint"),
    [
        ("```python\nprint(1)\n```\n\n```\n2\n```\n", "prints something else"),
        ("```python\nprint(1)\n```\n", "prints something else"),
        ("```py\nprint(1)\n```\n", "no test runs a block of 'py'"),
        ("```text\nimport bpkit\n```\n", "this is Python"),
        ("```\nimport bpkit\n```\n", "no program above prints this"),
        ("```python\nprint(1)\n```\n\nIt says:\n\n```\n1\n```\n", "prints something else|no program above"),
        (" ```python\nprint(1)\n ```\n", "start it at the margin"),
        ("```python\nprint(1)\n", "does not end"),
        ("```sh\nbpkit train --epoch-number 3\n```\n", "bpkit does not know"),
    ],
)
def test_a_page_that_is_wrong_is_noticed(page: str, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        run("page.md", page)


def test_a_block_that_needs_what_is_not_here_is_left_out() -> None:
    assert run("page.md", "<!-- needs: no_such_library -->\n```python\nimport no_such_library\n```\n") == 1


def drawn_rows() -> dict[str, int]:
    """The row of every part of the package in the table of layers on the page on architecture."""
    page = (DOCS / "architecture.md").read_text("utf-8").partition("## Layers")[2]
    table = page.partition("```text\n")[2].partition("\n---")[0]
    return {
        name: row
        for row, line in enumerate(table.splitlines())
        for name in re.split(r" {2,}", line)[0].split(" · ")
    }


def imported(path: Path) -> Iterator[str]:
    """The parts of the package that a module imports at its head."""
    for line in ast.parse(path.read_text("utf-8")).body:
        if isinstance(line, ast.ImportFrom) and line.module == "bpkit":
            yield from (name.name for name in line.names)
        elif isinstance(line, ast.ImportFrom) and (line.module or "").startswith("bpkit."):
            yield str(line.module).split(".")[1]


def test_imports_point_down_as_the_page_on_architecture_draws_them() -> None:
    rows = drawn_rows()
    parts = {path.stem for path in PACKAGE.glob("*.py")} | {
        path.parent.name for path in PACKAGE.glob("*/__init__.py")
    }
    assert set(rows) == parts - {"__init__", "__main__", "backends"}
    upwards = []
    for path in PACKAGE.rglob("*.py"):
        part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        row = rows.get(part, -1)
        upwards += [f"{path}: {name}" for name in imported(path) if rows.get(name, row) < row]
    assert not upwards


# What bpkit.interop has modules for.
LIBRARIES = ("dask", "jax", "onnx", "scipy", "torch", "weights", "xarray")
# Modules of which every name in __all__ is public; bpkit and bpkit.namespace take theirs from others.
PUBLIC = [
    *("bpkit", "bpkit._protocol", "bpkit.data", "bpkit.data.augment", "bpkit.errors", "bpkit.inspect"),
    *("bpkit.losses", "bpkit.metrics", "bpkit.namespace", "bpkit.namespace.fft", "bpkit.namespace.linalg"),
    *("bpkit.namespace.special", "bpkit.nn", "bpkit.nn.init", "bpkit.nn.mode", "bpkit.optim"),
    *("bpkit.optim.schedules", "bpkit.random", "bpkit.registry", "bpkit.sklearn", "bpkit.testing"),
    *("backends", "bpkit.testing.contract", "bpkit.training", "bpkit.transforms", "bpkit.tree"),
    *(f"bpkit.interop.{name}" for name in LIBRARIES if list((PACKAGE / "interop").glob(f"{name}*"))),
]


def exported(module: str) -> list[str]:
    """``__all__`` of a module or package, read from its source: the library that it needs may be missing."""
    place = PACKAGE.parent.joinpath(*module.split("."))
    source = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    for line in ast.parse(source.read_text("utf-8")).body if source.exists() else ():
        if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == "__all__":
            return list(ast.literal_eval(line.value))
    return []


def in_the_reference() -> tuple[set[str], set[str]]:
    """What the pages of the reference ask for with ``:::``, and the names that come with it."""
    pages = "".join(path.read_text("utf-8") for path in sorted((DOCS / "reference").glob("*.md")))
    asked = set(re.findall(r"^::: (\S+)$", pages, re.MULTILINE))
    names = {name for module in asked for name in exported(module)}
    return asked, names | {path.rpartition(".")[2] for path in asked}


@pytest.mark.parametrize("module", sorted(PUBLIC))
def test_every_public_name_is_in_the_reference(module: str) -> None:
    asked, names = in_the_reference()
    assert exported(module), f"{module} has no __all__"
    left_out = [] if module in asked else [name for name in exported(module) if name not in names]
    # bpkit.xp is the namespace, of which the pages show the chapters.
    left_out = [name for name in left_out if f"{module}.{name}" not in PUBLIC and name != "xp"]
    assert not left_out, f"docs/reference has no ::: for {module}, nor for {left_out}"


@pytest.fixture
def site() -> Path:
    built = os.environ.get("BPKIT_SITE")
    if built is None:
        pytest.skip("nox -s docs builds the site, and says with BPKIT_SITE where it is")
    return Path(built)


def test_the_site_shows_every_public_name(site: Path) -> None:
    # Four lines say what the file is; the rest is packed, one name a line.
    packed = (site / "objects.inv").read_bytes().split(b"\n", 4)[4]
    shown = {line.split(" ")[0] for line in zlib.decompress(packed).decode().splitlines()}
    # What these take from others stands where it comes from.
    gathered = {"backends", "bpkit.namespace"}
    somewhere = {path.rpartition(".")[2] for path in shown}
    missing = [
        f"{module}.{name}"
        for module in PUBLIC
        for name in exported(module)
        if f"{module}.{name}" not in {*shown, *PUBLIC, "bpkit.xp"}
        and not (module in gathered and name in somewhere)
    ]
    assert not missing


# A name, the title of a section below it, or a row of the table there.
SHOWN = re.compile(
    r'<h\d id="([^"]+)" class="doc|doc-section-title">([^<]*)|<tr class="doc-section-item">(.*?)</tr>',
    re.DOTALL,
)


def shown_parameters(site: Path) -> Iterator[tuple[str, str, str, str]]:
    """Name, parameter, type and default of every row of a table of parameters in the reference."""
    for page in sorted((site / "reference").glob("*.html")):
        name = title = ""
        for heading, section, row in SHOWN.findall(page.read_text("utf-8")):
            name, title = heading or name, section or ("" if heading else title)
            if row and title == "Parameters:":
                cells = [html.unescape(re.sub("<[^>]*>", "", cell)).strip() for cell in row.split("<td>")[1:]]
                yield name, cells[0], cells[1], cells[-1]


def public(path: str) -> Any:
    """What Python finds under a name, the function where its module has the same name."""
    thing: Any = bpkit
    parts = path.split(".")
    for i in range(1, len(parts)):
        if not hasattr(thing, parts[i]):
            importlib.import_module(".".join(parts[: i + 1]))
        thing = getattr(thing, parts[i])
    return thing


def test_the_site_shows_the_defaults_of_the_signatures(site: Path) -> None:
    found, wrong = 0, []
    for name, parameter, _, shown in shown_parameters(site):
        try:
            function = public(name)
        except ImportError:  # the library that the module needs is not here
            continue
        signature = inspect.signature(function).parameters
        if parameter not in signature:  # *args and **kwargs have no default
            assert parameter.startswith("*") or parameter.lstrip("*") not in signature, (name, parameter)
            continue
        found += 1
        default = signature[parameter].default
        if default is inspect.Parameter.empty:
            right = shown == "required"
        else:
            known = vars(sys.modules[inspect.unwrap(function).__module__])
            named = getattr(default, "__name__", None) == shown
            right = named or (shown != "required" and repr(eval(shown, dict(known))) == repr(default))
        wrong += [] if right else [f"{name}: {parameter}={shown}, and it is {default!r}"]
    assert not wrong
    assert found > 1000


def test_the_site_shows_types_as_the_docstrings_write_them(site: Path) -> None:
    found = {
        (name, parameter): (words, default) for name, parameter, words, default in shown_parameters(site)
    }
    classifier = "bpkit.sklearn.BackpropClassifier"
    assert found[classifier, "solver"] == ('{"adam", "sgd", "lbfgs"} or Optimizer', "'adam'")
    assert found[classifier, "activation"] == ('{"identity", "logistic", "tanh", "relu"}', "'relu'")
    assert found["bpkit.metrics.f1", "average"] == ('{"macro", "micro"} or None', "'macro'")
    assert found["bpkit.training.fit", "nan"] == ('{"raise", "skip"}', "'raise'")
    assert not [name for name, (words, _) in found.items() if "`" in words]
