"""What ``mkdocs build`` does besides: links in docstrings, and the help of every command.

Neither can stand in the pages themselves. Docstrings name functions as Sphinx does, ``:func:`bpkit.jit```,
and help that is copied is soon out of date.
"""

import os
import re
import subprocess
import sys
from typing import Any

import griffe

ROLE = re.compile(r":(?:attr|class|data|exc|func|meth|mod):`~?([^`]+)`")
HELP = re.compile(r"<!-- help: ([a-z]*) ?-->")


class Names(griffe.Extension):
    """What docstrings and packages call by name is what Python finds under it."""

    def on_package(self, *, pkg: griffe.Module, **kwargs: Any) -> None:
        """Where a package exports a function of the name of its module, the name means the function."""
        for inner in list(pkg.members.values()):
            if isinstance(inner, griffe.Module):
                self.on_package(pkg=inner)
        for name in pkg.exports or ():
            module = pkg.members.get(str(name))
            path = pkg.imports.get(str(name))
            if isinstance(module, griffe.Module) and path == f"{module.path}.{name}":
                pkg.members[str(name)] = griffe.Alias(str(name), module.members[str(name)], parent=pkg)

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """A role becomes a link where the reference has the name, and code where it has not."""
        if obj.docstring is None:
            return
        module = obj.module.path

        def link(role: re.Match[str]) -> str:
            name = role[1]
            place = name if name.startswith("bpkit.") else f"{module}.{name}"
            return f'<autoref optional identifier="{place}"><code>{name}</code></autoref>'

        obj.docstring.value = ROLE.sub(link, obj.docstring.value)


def on_page_markdown(markdown: str, **kwargs: Any) -> str:
    """Put what ``bpkit COMMAND --help`` prints where a page asks for it (a hook of mkdocs)."""

    def shown(asked: re.Match[str]) -> str:
        words = [sys.executable, "-m", "bpkit", *asked[1].split(), "--help"]
        plain = {**os.environ, "COLUMNS": "80", "NO_COLOR": "1", "PYTHONUTF8": "1"}
        ran = subprocess.run(words, env=plain, capture_output=True, encoding="utf-8", check=True)
        return f"```text\n{ran.stdout.strip()}\n```"

    return HELP.sub(shown, markdown)
