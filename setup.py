"""The one part of the packaging that pyproject.toml cannot say; everything else is there."""

from setuptools import find_packages, setup

# ``packages.find`` cannot find a folder under another name, and a list by hand forgets subpackages.
setup(
    py_modules=["pytest_bpkit"],
    packages=[
        *find_packages(include=["bpkit", "bpkit.*"]),
        *(f"bpkit.{name}" for name in find_packages(include=["backends", "backends.*"])),
    ],
)
