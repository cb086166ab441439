"""The page of ``bpkit report``: whole, small, readable, and true to the run."""

import base64
import dataclasses
import io
import json
import math
import re
import shutil
import sys
from collections.abc import Sequence
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bpkit import inspect, losses, metrics, nn, optim, random, training
from bpkit.cli import main
from bpkit.data import digits
from bpkit.errors import CorruptRunError, DrawingError, RunError, SaveError
from bpkit.inspect import INSIGHT, Look, read_looks
from bpkit.report import write_report
from bpkit.report.layers import alike, innermost, spread
from bpkit.report.plots import Line, draw_histogram, draw_lines
from bpkit.report.sections import places, short

pytest.importorskip("matplotlib", reason="the extra report is not installed")
pytest.importorskip("jinja2", reason="the extra report is not installed")

VOID = {"meta", "img", "br", "link", "input"}


class Page(HTMLParser):
    """What a browser makes of a page, or an error where it would have to guess."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.said = ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.said += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of ``bpkit train``; only read."""
    folder = tmp_path_factory.mktemp("runs") / "small"
    words = ["--epochs", "3", "--hidden", "12", "--activation", "sigmoid", "--seed", "3"]
    assert main(["train", *words, "--quiet", "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def text(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Its page."""
    return write_report(trained, tmp_path_factory.mktemp("pages") / "page.html").read_text("utf-8")


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(trained, tmp_path / "small"))


def fitted(folder: Path, model: Any, **options: Any) -> None:
    train = digits().train
    x, y = train.images[:200], train.labels[:200]
    loss = losses.softmax_cross_entropy
    recorder = inspect.Recorder(loss, x[:64], y[:64], path=folder / INSIGHT)
    chosen = {"epochs": 2, "folder": folder, "callbacks": [recorder], "validation": (x, y)}
    training.fit(model, (x, y), loss, optim.sgd(0.1), **chosen | options)


def look_of(trained: Path) -> Look:
    return read_looks(trained / INSIGHT)[-1]


# The page.


def test_the_page_is_whole_and_small(run: Path) -> None:
    path = write_report(run)
    assert path == run / "report.html"
    assert path.stat().st_size < 2_000_000
    assert not list(run.glob(".*")), "nothing is left beside it"
    text = path.read_text("utf-8")
    page = Page(text)
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "link", "iframe", "object", "embed", "base", "form"}
    # What is named is in the page itself; the rest are names of XML, which nothing fetches.
    for _, attributes in page.tags:
        for name, value in attributes.items():
            if name in ("src", "srcset", "href", "xlink:href", "poster", "action", "background"):
                assert str(value).startswith(("data:image/png;base64,", "#")), (name, value)
            assert not name.startswith("on")
    styles = re.findall(r"url\((.*?)\)|@import", text)
    assert all(target.startswith("#") for target in styles)
    assert set(re.findall(r"https?://[^\s\"<)]+", text)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    (policy,) = (m["content"] for m in page.all("meta") if m.get("http-equiv"))
    assert str(policy).startswith("default-src 'none'")


def test_the_page_is_for_everybody(text: str) -> None:
    page = Page(text)
    assert page.all("html")[0]["lang"] == "en"
    assert "Report of small" in page.said
    assert any(m.get("name") == "viewport" for m in page.all("meta"))
    svgs, images = page.all("svg"), page.all("img")
    assert len(svgs) > 6
    assert all(svg["role"] == "img" and len(str(svg["aria-label"])) > 20 for svg in svgs)
    assert len(images) >= 20
    assert all(image["alt"] for image in images)
    scrolled = [div for div in page.all("div") if "scroll" in str(div.get("class"))]
    assert all(div["tabindex"] == "0" and div["aria-label"] for div in scrolled), "reached with the keyboard"
    assert len(scrolled) > 6
    assert [tag for tag, _ in page.tags if tag == "h1"] == ["h1"]
    levels = [int(tag[1]) for tag, _ in page.tags if tag in ("h1", "h2", "h3")]
    assert all(later <= earlier + 1 for earlier, later in pairwise(levels))


def test_the_same_run_gives_the_same_page(trained: Path, text: str, tmp_path: Path) -> None:
    assert write_report(trained, tmp_path / "again.html").read_text("utf-8") == text


def test_the_figures_are_those_of_the_run(trained: Path, text: str) -> None:
    said = re.sub(r"\s+", " ", Page(text).said)
    saved = training.Run.open(trained).saved
    last = saved.metrics[-1]
    history = [training.Epoch.from_json(line) for line in saved.metrics]
    healthy = inspect.diagnose(read_looks(trained / INSIGHT), history).healthy
    assert ("Nothing was found that does harm." in said) == healthy
    assert f"test accuracy{last['test_accuracy']:.1%}".replace("%", " %") in said
    assert "epochs3 of 3" in said
    assert "A network 64-12-10 of sigmoid neurons, trained on digits by sgd" in said
    assert f"parameters{64 * 12 + 12 + 120 + 10:,}" in said
    for layer in look_of(trained).layers:
        assert layer.error is not None
        assert f"{layer.error:.3g}".replace("e-0", "e−") in said
    for line in saved.metrics:
        assert f"{line['loss']:.3g}" in said


def test_mistakes_and_confusion_are_what_numpy_says(trained: Path, text: str) -> None:
    arrays = training.Run.open(trained).saved.arrays
    w = [arrays[f"model.layers[{i}].{name}"].astype("float64") for i in (0, 2) for name in ("weight", "bias")]
    test = digits().test
    hidden = 1 / (1 + np.exp(-(test.images @ w[0].T + w[1])))
    answers = np.argmax(hidden @ w[2].T + w[3], axis=1)
    table = re.search(r'<table class="confusion">.*?</table>', text, re.DOTALL)
    assert table is not None
    rows = re.findall(r"<tr><th scope=\"row\".*?</tr>", table[0], re.DOTALL)
    shown = np.asarray([[int(n) for n in re.findall(r">(\d+)</td>", row)] for row in rows])
    expected = np.zeros((10, 10), int)
    np.add.at(expected, (test.labels, answers), 1)
    assert np.array_equal(shown, expected)
    wrong = int(np.sum(answers != test.labels))
    assert f"{wrong:,} of {len(test.labels):,} test images are read wrongly" in text
    captions = re.findall(r"<figcaption>(\d), read as (\d)", text)
    assert [label == answer for label, answer in captions[10:]] == [False] * min(12, wrong)
    pairs = set(zip(test.labels.tolist(), answers.tolist(), strict=True))
    assert {(int(label), int(answer)) for label, answer in captions} <= pairs


def test_the_sensitivity_is_that_of_finite_differences(trained: Path, text: str) -> None:
    arrays = training.Run.open(trained).saved.arrays
    w = [arrays[f"model.layers[{i}].{name}"].astype("float64") for i in (0, 2) for name in ("weight", "bias")]
    test = digits().test
    x = test.images[int(np.argmax(test.labels == 0))].astype("float64")

    def cost(x: np.ndarray[Any, Any]) -> float:
        z = w[2] @ (1 / (1 + np.exp(-(w[0] @ x + w[1])))) + w[3]
        return float(np.log(np.sum(np.exp(z))) - z[0])

    steps = 1e-5 * np.eye(64)
    slopes = np.asarray([(cost(x + step) - cost(x - step)) / 2e-5 for step in steps])
    found = re.search(r"dC/dx up to ([\d.e−-]+)<", text)
    assert found is not None
    assert float(found[1].replace("−", "-")) == pytest.approx(np.max(np.abs(slopes)), rel=6e-3)  # 3 digits

    # The picture has its strongest colour, away from the grey of 0, at the same pixel.
    from matplotlib.image import imread

    maps = re.findall(r'src="data:image/png;base64,([\w+/=]+)" alt="Its', text)
    pixels = imread(io.BytesIO(base64.b64decode(maps[0])))[..., :3]
    assert pixels.shape == (8, 8, 3)
    strongest = int(np.argmax(np.abs(slopes)))
    red, blue = pixels.reshape(64, 3)[strongest][[0, 2]]
    assert (red > blue) == (slopes[strongest] > 0), "orange where more ink raises the cost"
    assert int(np.argmin(pixels.reshape(64, 3).sum(axis=1))) == strongest


def test_what_the_run_says_is_escaped(tmp_path: Path) -> None:
    class Nasty(nn.Module):
        inner: nn.Dense

        def __call__(self, x: Any) -> Any:
            return self.inner(x)

        def __repr__(self) -> str:
            return "<script>alert(1)</script>"

    def measured(output: Any, target: Any) -> Any:
        return losses.softmax_cross_entropy(output, target)

    model = nn.Sequential(Nasty(nn.Dense(64, 10, key=random.key(0))), lambda x: x)
    folder = tmp_path / "<b>&amp;'\""
    fitted(folder, model, metrics={"<img src=x onerror=1> $x$ {{ 7 * 7 }}": measured})
    lines = (folder / INSIGHT).read_text().replace("Dense(64", "</svg><script>Dense(64")
    (folder / INSIGHT).write_text(lines)
    text = write_report(folder).read_text("utf-8")
    page = Page(text)
    assert "script" not in {tag for tag, _ in page.tags}
    assert not page.all("img")
    assert "<b>&amp;'\"" in page.said
    assert "<img src=x onerror=1> $x$ {{ 7 * 7 }}" in page.said
    assert "</svg><script>Dense(64" in page.said


# Runs of all kinds.


def test_a_training_of_fit_says_what_is_left_out(tmp_path: Path) -> None:
    first, second = random.split(random.key(0))
    model = nn.Sequential(nn.Dense(64, 8, key=first), nn.tanh, nn.Dense(8, 10, key=second))
    fitted(tmp_path / "run", model, metrics=[metrics.accuracy, metrics.f1])
    page = Page(write_report(tmp_path / "run").read_text("utf-8"))
    assert "Images, mistakes and the confusion matrix: of a training of fit" in page.said
    assert "validation accuracy" in page.said
    assert "validation f1" in page.said
    assert "softmax_cross_entropy" in page.said
    assert not page.all("img")


def test_a_run_on_another_backend(tmp_path: Path) -> None:
    pytest.importorskip("array_api_strict", reason="array_api_strict is not installed")
    words = ["--backend", "array_api_strict", "--epochs", "1", "--hidden", "4", "--quiet"]
    assert main(["train", *words, "--out", str(tmp_path / "run")]) == 0
    assert main(["report", str(tmp_path / "run")]) == 0
    page = Page((tmp_path / "run" / "report.html").read_text("utf-8"))
    assert "by sgd with a learning rate of 0.1 and softmax cost, on array_api_strict" in page.said
    assert len(page.all("img")) > 20


def test_data_that_cannot_be_read_are_said(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*args: Any) -> None:
        raise RunError("the data are gone")

    monkeypatch.setattr("bpkit.report.page.load_dataset", lost)
    page = Page(write_report(run).read_text("utf-8"))
    assert "Images, mistakes and the confusion matrix: the data are gone." in page.said


def test_a_training_that_diverged_in_its_first_epoch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "--lr", "1e9", "--quiet", "--out", str(tmp_path / "run")]) == 1
    said = Page(write_report(tmp_path / "run").read_text("utf-8")).said
    assert "epochs0 of 30" in said
    assert "Learning rate too high" in said
    assert "What to do: " in said
    diagnosis = inspect.diagnose(read_looks(tmp_path / "run" / INSIGHT))
    for finding in diagnosis.findings:
        assert finding.words in said
        assert finding.advice in said
        assert all(f"{name}{short(value)}" in said for name, value in finding.evidence.items())
    assert not re.search(r"\bnan\b", said, re.IGNORECASE)
    assert "A cross at the upper edge: not finite, or too large to be drawn (" in said


def test_the_epoch_in_which_it_diverged_is_marked(run: Path) -> None:
    looks = read_looks(run / INSIGHT)
    epochs = training.Run.open(run).saved.epoch
    last = dataclasses.replace(looks[-1], epoch=epochs, step=4, loss=None)
    (run / INSIGHT).write_text("".join(json.dumps(look.to_json()) + "\n" for look in (*looks, last)))
    page = Page(write_report(run).read_text("utf-8"))
    assert f"It diverged: after step 4 of epoch {epochs + 1} the loss was no longer finite." in page.said
    assert "A cross at the upper edge: not finite, or too large to be drawn (1 in all)" in page.said


def test_a_cross_for_what_is_too_large() -> None:
    x, y = [0.0, 1.0, 2.0], [1.0, 2.0, 1e200]
    options = {"words": "words", "x_label": "", "y_label": ""}
    plain = draw_lines([Line("a", x, y, "--one")], **options)
    marked = draw_lines([Line("a", x, y, "--one", lost=[2])], **options)
    assert marked.count("<use") == plain.count("<use") + 1


def test_numbers_that_are_not_finite_have_gaps(run: Path) -> None:
    looks = read_looks(run / INSIGHT)
    sick = [
        dataclasses.replace(
            look,
            loss=None,
            layers=tuple(
                dataclasses.replace(layer, error=None, speed=None, histogram=None, output_mean=None)
                for layer in look.layers
            ),
        )
        for look in looks[2:]
    ]
    lines = [json.dumps(look.to_json()) + "\n" for look in (*looks[:2], *sick)]
    (run / INSIGHT).write_text("".join(lines))
    page = Page(write_report(run).read_text("utf-8"))
    assert "–" in page.said


def test_a_long_run_of_a_deep_network_is_below_the_limit(run: Path) -> None:
    looks = read_looks(run / INSIGHT)
    one = looks[-1].layers[1]
    layers = tuple(dataclasses.replace(one, place=f"layers[{i}]", parameters=10) for i in range(40))
    many = [dataclasses.replace(looks[-1], epoch=i, layers=layers) for i in range(30)]
    (run / INSIGHT).write_text("".join(json.dumps(look.to_json()) + "\n" for look in many))
    path = write_report(run)
    assert path.stat().st_size < 1_000_000
    assert "12 of 40 layers, evenly spread" in Page(path.read_text("utf-8")).said


# What cannot be done.


def test_no_run_and_no_looks(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RunError, match=r"nowhere does not exist"):
        write_report(tmp_path / "nowhere")
    lines = (run / INSIGHT).read_text().splitlines(keepends=True)
    (run / INSIGHT).write_text(lines[0] + "{}\n" + lines[1])
    with pytest.raises(CorruptRunError, match=r"insight.jsonl"):
        write_report(run)
    (run / INSIGHT).write_text("")
    with pytest.raises(RunError, match=r"holds no look"):
        write_report(run)
    (run / INSIGHT).unlink()
    assert main(["report", str(run)]) == 2
    said = capsys.readouterr().err
    assert "has no insight.jsonl" in said
    assert "Recorder(loss, x, y, path=" in said
    assert said.count("\n") == 1


def test_a_page_that_cannot_be_written(run: Path, tmp_path: Path) -> None:
    (tmp_path / "page.html").mkdir()
    with pytest.raises(SaveError, match=r"page.html cannot be written: .*; choose another file"):
        write_report(run, tmp_path / "page.html")
    assert [file.name for file in tmp_path.iterdir() if file != run] == ["page.html"]
    with pytest.raises(SaveError, match=r"there is no folder .*nowhere; choose another file"):
        write_report(run, tmp_path / "nowhere" / "page.html")


@pytest.mark.parametrize("missing", ["jinja2", "matplotlib"])
def test_what_draws_it_is_missing(missing: str, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(DrawingError, match=rf'needs {missing}: .* pip install -e "\.\[report\]"$'):
        write_report(run)


def test_the_command(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "page.html"
    assert main(["report", str(run), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert (
        said
        == f"Wrote {out} ({out.stat().st_size / 1000:,.0f} kB); it opens in any browser, without a network.\n"
    )
    assert not (run / "report.html").exists()
    assert main(["report", str(run), "--data", "."]) == 2
    assert "leave --data out" in capsys.readouterr().err
    assert main(["report", "--help"]) == 0
    assert "--out FILE" in capsys.readouterr().out


# Its drawings.


def drawn(y: Sequence[float | None], **options: Any) -> list[list[tuple[float, float]]]:
    """The lines of the first series, each as its points."""
    x = [float(i) for i in range(len(y))]
    text = draw_lines(
        [Line("a", x, y, "--one"), Line("b", x, [1.0] * len(y), "--two")],
        words="words",
        x_label="epoch",
        y_label="y",
        **options,
    )
    (path,) = re.findall(r'<path d="([^"]*)"[^>]*stroke: var\(--one\)', text)
    parts = [part for part in path.split("M") if part.strip()]
    return [[(float(a), float(b)) for a, b in re.findall(r"([\d.]+) ([\d.]+)", part)] for part in parts]


def test_lines_are_where_their_numbers_say() -> None:
    (line,) = drawn([1.0, 2.0, 4.0, 3.0])
    heights = [-y for _, y in line]
    assert (heights[2] - heights[0]) / (heights[1] - heights[0]) == pytest.approx(3, rel=1e-3)
    (line,) = drawn([1.0, 10.0, 1000.0], log=True)
    heights = [-y for _, y in line]
    assert (heights[2] - heights[0]) / (heights[1] - heights[0]) == pytest.approx(3, rel=1e-3)
    assert [len(part) for part in drawn([1.0, 2.0, None, 3.0, 2.0])] == [2, 2]
    assert [len(part) for part in drawn([1.0, 2.0, math.nan, 3.0, 2.0, math.inf])] == [2, 2]
    assert [len(part) for part in drawn([1.0, 2.0, 0.0, 3.0, 2.0], log=True)] == [2, 2]


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([], ()),
        ([None], ()),
        ([0.0], (False,)),  # not where heights are logarithms
        ([1e308, -1e308], ()),
        ([1e-320, 1e90], (False, True)),
        ([2.0] * 4, (False, True)),
    ],
)
def test_whatever_comes_is_drawn(values: list[float | None], shown: tuple[bool, ...], log: bool) -> None:
    line = Line("a", [float(i) for i in range(len(values))], values, "--one")
    text = draw_lines([line], words="words", x_label="", y_label="", log=log, band=(1e-3, 1e-2))
    assert ("nothing was measured" in text) == (log not in shown)


def test_the_numbers_at_the_ends_do_not_meet() -> None:
    lines = [Line(str(i), [0.0, 1.0], [0.0, 0.5 + i * 1e-6], f"--layer-{i}") for i in range(10)]
    text = draw_lines(lines, words="words", x_label="", y_label="")
    marks = re.findall(r"(<text [^>]*var\(--layer-\d\)[^>]*>)(\d+)</text>", text)
    assert sorted(int(number) for _, number in marks) == list(range(1, 11))
    heights = [float(re.findall(r'y="([\d.]+)"', tag)[0]) for tag, _ in marks]
    assert np.min(np.diff(sorted(heights))) > 8
    assert "#01" not in text, "all colours are names"


def test_a_histogram_shows_densities() -> None:
    text = draw_histogram([0, 1, 3], [4, 4], None, words="words", colour="--one")
    (path,) = re.findall(r'<path d="([^"]*)"[^>]*fill: var\(--one\)', text)
    heights = sorted({float(y) for _, y in re.findall(r"([\d.]+) ([\d.]+)", path)})
    floor = heights[-1]
    assert (floor - heights[0]) / (floor - heights[1]) == pytest.approx(2, rel=1e-3)


# Its colours.


def palettes() -> list[dict[str, str]]:
    import bpkit.report

    style = (Path(bpkit.report.__file__).parent / "page.css").read_text("utf-8")
    return [dict(re.findall(r"--([\w-]+): (#\w{6})", block)) for block in style.split("@media (prefers")[:2]]


def contrast(one: str, other: str) -> float:
    """That of WCAG 2.2."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("palette", [0, 1], ids=["light", "dark"])
def test_text_and_lines_stand_out(palette: int) -> None:
    colours = palettes()[palette]
    for name in ("ink", "soft", "link", "good", "bad"):
        for ground in ("ground", "card"):
            assert contrast(colours[name], colours[ground]) >= 4.5, name
    lines = [name for name in colours if name in ("one", "two", "three", "four", "five") or "layer" in name]
    assert len(lines) == 15
    for name in lines:
        assert contrast(colours[name], colours["card"]) >= 3, name
    steps = [contrast(colours[f"layer-{i}"], colours["card"]) for i in range(10)]
    assert steps == sorted(steps, reverse=palette == 0), "told apart by lightness alone"


# Which layers.


def test_layers_that_hold_others_are_left_out(trained: Path) -> None:
    look = look_of(trained)
    for names, alone in (
        (["layers[0]", "layers[1]"], [0, 1]),
        (["", "a", "ab", "a.b", "a.b[0]"], [2, 4]),
        ([""], [0]),
    ):
        layers = tuple(dataclasses.replace(look.layers[0], place=place) for place in names)
        assert innermost(dataclasses.replace(look, layers=layers)) == alone


def test_looks_at_other_layers_are_left_out(run: Path) -> None:
    looks = read_looks(run / INSIGHT)
    other = dataclasses.replace(looks[0], layers=looks[0].layers[:1], epoch=0)
    assert alike([other, *looks]) == list(looks)
    assert alike([]) == []
    lines = (run / INSIGHT).read_text()
    (run / INSIGHT).write_text(json.dumps(other.to_json()) + "\n" + lines)
    assert f"looks{len(looks)}" in Page(write_report(run).read_text("utf-8")).said


def test_a_look_within_an_epoch_is_between_two(trained: Path) -> None:
    look = look_of(trained)
    within = [dataclasses.replace(look, epoch=e, step=s) for e, s in ((0, 0), (0, 10), (1, 0), (2, 5))]
    assert places(within, 40) == ("epoch", [0, 0.25, 1, 2.125])
    label, x = places(within, None)
    assert label == "epoch"
    assert x == sorted(x)
    assert x[1] < 1
    assert places(within[:2], 40) == ("step", [0, 10])


@pytest.mark.parametrize(
    ("number", "written"),
    [
        (0.0, "0"),
        (1234.4, "1,234"),
        (999.9, "1,000"),
        (12345.6, "12,346"),
        (-0.00012345, "−0.000123"),
        (1.5e-8, "1.5e−8"),
        (2e10, "2e10"),
        (3e-120, "3e−120"),
        (None, "–"),
        (math.nan, "–"),
    ],
)
def test_numbers_are_short(number: float | None, written: str) -> None:
    assert short(number) == written


def test_some_of_many() -> None:
    assert spread(range(3), 5) == [0, 1, 2]
    assert spread(range(101), 5) == [0, 25, 50, 75, 100]
