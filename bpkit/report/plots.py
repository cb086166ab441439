"""Curves and histograms as SVG that takes its colours from the page around it.

Matplotlib draws them, with colours of no meaning that are then replaced by names of CSS: so one drawing is
right on a light page and on a dark one. What a line is called stands beside the drawing, in the page, where
long names wrap; in the drawing there is a number at its end.
"""

import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

__all__ = ["FAR", "Line", "draw_histogram", "draw_lines"]

ElementTree.register_namespace("", "http://www.w3.org/2000/svg")

WIDTH_IN, HEIGHT_IN = 4.6, 2.7
SMALL_IN = (2.9, 1.7)
FAR = 1e100
"""Ticks overflow near the largest floats, and so far out nobody reads them."""

LEAST_GAP = 0.09
"""Between the numbers at the ends of two lines, as a share of the height."""

_INK, _FAINT, _BAND, _FIRST = "#010203", "#010204", "#010205", 0x010300
_NAMES = {_INK: "--soft", _FAINT: "--grid", _BAND: "--band"}


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a plot.

    Attributes
    ----------
    name : str
    x : sequence of float
    y : sequence of float or None
        None where nothing is known; there the line has a gap.
    colour : str
        A property of CSS, such as ``"--layer-3"``.
    lost : sequence of int
        Which of them are marked by a cross at the upper edge, since they are too large or not finite.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float | None]
    colour: str
    lost: Sequence[int] = ()


def draw_lines(
    lines: Sequence[Line],
    *,
    words: str,
    x_label: str,
    y_label: str,
    log: bool = False,
    share: bool = False,
    band: tuple[float, float] | None = None,
) -> str:
    """Lines in one pair of axes.

    Parameters
    ----------
    lines : sequence of Line
    words : str
        What is to be seen, for those who do not see it.
    x_label, y_label : str
    log : bool
        Whether heights are logarithms; what is not above 0 is then left out.
    share : bool
        Whether the numbers are shares, written in per cent.
    band : pair of float, optional
        Heights between which the ground is tinted.

    Returns
    -------
    str
        An ``svg`` element.
    """
    with _axes((WIDTH_IN, HEIGHT_IN), (0.15, 0.2, 0.78, 0.68)) as (figure, axes):
        if log:
            axes.set_yscale("log")
        far = [x for line in lines for x in line.x]
        if far and min(far) < max(far):  # also where nothing is known
            margin = 0.04 * (max(far) - min(far))
            axes.set_xlim(min(far) - margin, max(far) + margin)
        ends, at_the_edge = [], axes.get_xaxis_transform()
        for i, line in enumerate(lines):
            y = [_height(value, log) for value in line.y]
            alone = sum(map(math.isfinite, y)) == 1
            colour = f"#{_FIRST + i:06x}"
            axes.plot(line.x, y, color=colour, linewidth=1.6, marker="o" if alone else "", markersize=4)
            axes.plot(
                [line.x[lost] for lost in line.lost], [1.0] * len(line.lost), color=colour, linestyle="",
                marker="x", transform=at_the_edge, clip_on=False,
            )  # fmt: skip
            known = [(at, value) for at, value in zip(line.x, y, strict=True) if math.isfinite(value)]
            if known:
                ends.append((*known[-1], i))
        if band is not None and ends:
            axes.axhspan(*band, color=_BAND, linewidth=0, zorder=0)
        _label_axes(axes, x_label, y_label, log, share)
        if not ends:
            axes.text(0.5, 0.5, "nothing was measured", transform=axes.transAxes, ha="center", color=_INK)
        elif len(lines) > 1:
            _number_ends(axes, ends)
        return _svg(figure, words, {f"#{_FIRST + i:06x}": line.colour for i, line in enumerate(lines)})


def draw_histogram(
    edges: Sequence[float],
    counts: Sequence[float],
    first: tuple[Sequence[float], Sequence[float]] | None,
    *,
    words: str,
    colour: str,
) -> str:
    """The shares of numbers in bins, and as an outline what they were at first.

    Parameters
    ----------
    edges : sequence of float
        One more than there are bins.
    counts : sequence of float
    first : (edges, counts), optional
    words, colour : str
        As for :func:`draw_lines`.

    Returns
    -------
    str
        An ``svg`` element.
    """
    with _axes(SMALL_IN, (0.05, 0.19, 0.9, 0.76)) as (figure, axes):
        axes.stairs(_density(edges, counts), edges, fill=True, color=f"#{_FIRST:06x}", alpha=0.75)
        if first is not None:
            axes.stairs(_density(*first), first[0], color=_INK, linewidth=1.2)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.locator_params(axis="x", nbins=5)
        axes.xaxis.set_major_formatter(_plain)
        return _svg(figure, words, {f"#{_FIRST:06x}": colour})


def _density(edges: Sequence[float], counts: Sequence[float]) -> list[float]:
    """Counts over widths, the highest of which is 1."""
    heights = [
        count / max(stop - start, 1e-300)
        for start, stop, count in zip(edges[:-1], edges[1:], counts, strict=True)
    ]
    highest = max(heights, default=0.0) or 1.0
    return [height / highest for height in heights]


def _height(value: float | None, log: bool) -> float:
    if value is None or not abs(value) < FAR or (log and value < 1 / FAR):
        return math.nan
    return value


@contextmanager
def _axes(size: tuple[float, float], box: tuple[float, float, float, float]) -> Iterator[tuple[Any, Any]]:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    style = {
        "axes.edgecolor": _FAINT,
        "axes.grid": True,
        "axes.labelcolor": _INK,
        "axes.titlecolor": _INK,
        "axes.titlesize": "medium",
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.axisbelow": True,
        "axes.formatter.useoffset": False,
        "font.size": 11,
        "grid.color": _FAINT,
        "grid.linewidth": 0.6,
        "svg.fonttype": "none",
        "svg.hashsalt": "bpkit",
        "text.parse_math": False,
        "xtick.color": _INK,
        "ytick.color": _INK,
        "xtick.major.size": 0,
        "ytick.major.size": 0,
        "xtick.minor.size": 0,
        "ytick.minor.size": 0,
    }
    with rc_context(style):
        figure = Figure(figsize=size)
        axes = figure.add_axes(box)
        axes.patch.set_visible(False)
        yield figure, axes


def _label_axes(axes: Any, x_label: str, y_label: str, log: bool, share: bool) -> None:
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

    axes.set_xlabel(x_label)
    axes.set_title(y_label, loc="left")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axes.xaxis.set_major_formatter(_plain)
    low, high = axes.get_ylim()
    if log:
        few = math.log10(high / low) < 2
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,), numticks=6))
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5))
    if share:
        axes.set_ylim(max(low, 0.0), high)
    axes.yaxis.set_major_formatter(_per_cent if share else _plain)


def _per_cent(x: float, position: int | None = None) -> str:
    return f"{_plain(round(100 * x, 6))} %"


def _plain(x: float, position: int | None = None) -> str:
    """A number as short as it can be: 0.001, 2,000, 1e-7."""
    if x == 0 or 1e-3 <= abs(x) < 1e6:
        return f"{x:,.6g}".replace("-", "−")
    mantissa, _, exponent = f"{x:.3g}".partition("e")
    mantissa, exponent = (mantissa, exponent) if exponent else f"{x:.2e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}".replace("-", "−")


def _number_ends(axes: Any, ends: Sequence[tuple[float, float, int]]) -> None:
    """Write each line's number beside its end, the numbers apart from each other."""
    axes.autoscale_view()  # or the limits would be known only when it is drawn
    to_axes = axes.transData + axes.transAxes.inverted()
    places = sorted((float(to_axes.transform((x, y))[1]), i) for x, y, i in ends)
    gap = min(LEAST_GAP, 1 / len(places))
    heights: list[float] = []
    for height, _ in places:
        heights.append(max(height, heights[-1] + gap) if heights else height)
    # Those that were pushed out at the top push back.
    top = 1.0
    for i in reversed(range(len(heights))):
        heights[i] = min(heights[i], top)
        top = heights[i] - gap
    for height, (_, i) in zip(heights, places, strict=True):
        axes.text(
            1.02, height, str(i + 1), transform=axes.transAxes, va="center", color=f"#{_FIRST + i:06x}",
            fontweight="bold",
        )  # fmt: skip


def _svg(figure: Any, words: str, colours: Mapping[str, str]) -> str:
    """What Matplotlib writes, without what a page has one of for all its drawings."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True)
    text = buffer.getvalue()
    for colour, name in {**_NAMES, **colours}.items():
        text = text.replace(colour, f"var({name})")
    root = ElementTree.fromstring(text)
    for parent in root.iter():
        for child in list(parent):
            if child.tag.endswith(("}metadata", "}style")):
                parent.remove(child)
    # Only clips and markers are referred to. Two drawings that share such a name mean the same by it: it is
    # made from the content.
    used = set(re.findall(r"#(\w+)", text))
    for element in root.iter():
        if element.get("id") not in used:
            element.attrib.pop("id", None)
        style = element.get("style")
        if style is not None:
            element.set("style", re.sub(r"font-family: [^;]*;? ?", "", style))
    del root.attrib["width"], root.attrib["height"]
    root.set("role", "img")
    root.set("aria-label", words)
    return ElementTree.tostring(root, encoding="unicode")
