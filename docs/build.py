"""What ``mkdocs build`` does besides: links and types in docstrings, and the help of every command.

They cannot stand in the pages themselves. Docstrings name functions as Sphinx does, ``:func:`bpkit.jit```,
their types are words, ``{"adam", "sgd"} or Optimizer``, and help that is copied is soon out of date.
"""

import os
import re
import subprocess
import sys
from typing import Any

import griffe

ROLE = re.compile(r":(?:attr|class|data|exc|func|meth|mod):`~?([^`]+)`")
LITERAL = re.compile(r"::$(?=\n\n    )", re.MULTILINE)
PARAMETER = re.compile(r"^(\*{0,2}\w+(?:, \*{0,2}\w+)*) : (.+)$", re.MULTILINE)
HELP = re.compile(r"<!-- help: ([a-z]*) ?-->")


class Names(griffe.Extension):
    """What docstrings and packages call by name is what Python finds under it."""

    def on_package(self, *, pkg: griffe.Module, **kwargs: Any) -> None:
        """Mend a package when all of it has been read."""
        link_roles(pkg)
        take_over_inits(pkg)
        functions: dict[str, griffe.Object] = {}
        prefer_functions(pkg, functions)
        follow(pkg, functions)


class Docstring(griffe.Docstring):
    """A docstring whose types are shown as they are written, with the defaults of the signature.

    griffe takes the first word in braces for the default, and leaves out what follows the braces; where one
    line names several parameters, it gives all of them the default of the first.
    """

    def parse(self, *args: Any, **options: Any) -> list[griffe.DocstringSection]:
        """The sections, of which those on parameters are mended."""
        sections = super().parse(*args, **options)
        written: dict[str, str] = {}
        for names, words in PARAMETER.findall(self.value):
            for name in names.split(", "):
                written.setdefault(name, words.removesuffix(", optional").replace("`", ""))
        signature = getattr(self.parent, "parameters", {})
        for section in sections:
            if not isinstance(section, griffe.DocstringSectionParameters):
                continue
            for shown in section.value:
                if shown.name in signature:
                    shown.value = signature[shown.name].default
                if shown.name in written and str(shown.annotation) != written[shown.name]:
                    shown.annotation = written[shown.name]
                elif shown.name not in written and shown.name in signature:
                    shown.annotation = signature[shown.name].annotation
        return sections


def link_roles(place: griffe.Object) -> None:
    """A role becomes a link where the reference has the name, and code where it has not; ``::`` a colon."""
    module = place.module.path

    def link(role: re.Match[str]) -> str:
        name = role[1]
        path = name if name.startswith("bpkit.") else f"{module}.{name}"
        return f'<autoref optional identifier="{path}"><code>{name}</code></autoref>'

    if place.docstring is not None:
        place.docstring.value = LITERAL.sub(":", ROLE.sub(link, place.docstring.value))
        place.docstring.__class__ = Docstring
    for member in place.members.values():
        if not isinstance(member, griffe.Alias):
            link_roles(member)


def take_over_inits(place: griffe.Object) -> None:
    """``__init__ = _Base.__init__`` in a class is that function, and has its parameters."""
    for member in list(place.members.values()):
        if isinstance(member, griffe.Module | griffe.Class):
            take_over_inits(member)
    init = place.members.get("__init__")
    if isinstance(init, griffe.Attribute):
        base = place.module.members[str(init.value).removesuffix(".__init__")]
        place.members["__init__"] = griffe.Alias("__init__", base.members["__init__"], parent=place)


def prefer_functions(package: griffe.Module, found: dict[str, griffe.Object]) -> None:
    """Where a package exports a function of the name of its module, the name means the function."""
    for member in list(package.members.values()):
        if isinstance(member, griffe.Module):
            prefer_functions(member, found)
    for name in map(str, package.exports or ()):
        module = package.members.get(name)
        if isinstance(module, griffe.Module) and package.imports.get(name) == f"{module.path}.{name}":
            found[module.path] = module.members[name]
            package.members[name] = griffe.Alias(name, module.members[name], parent=package)


def follow(package: griffe.Module, found: dict[str, griffe.Object]) -> None:
    """Other packages that take such a name from there take the function too."""
    for name, member in list(package.members.items()):
        if isinstance(member, griffe.Module):
            follow(member, found)
        elif isinstance(member, griffe.Alias) and member.target_path in found:
            package.members[name] = griffe.Alias(name, found[member.target_path], parent=package)


def on_page_markdown(markdown: str, **kwargs: Any) -> str:
    """Put what ``bpkit COMMAND --help`` prints where a page asks for it (a hook of mkdocs)."""

    def shown(asked: re.Match[str]) -> str:
        words = [sys.executable, "-m", "bpkit", *asked[1].split(), "--help"]
        plain = {**os.environ, "COLUMNS": "80", "NO_COLOR": "1", "PYTHONUTF8": "1"}
        ran = subprocess.run(words, env=plain, capture_output=True, encoding="utf-8", check=True)
        return f"```text\n{ran.stdout.strip()}\n```"

    return HELP.sub(shown, markdown)
