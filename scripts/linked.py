"""What maitred and the library that it preloads are linked with, and what else is in them."""

import json
import subprocess
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
TARGET = "x86_64-unknown-linux-gnu"

# What is in the executable and no crate: the dashboard's charts.
VENDORED = [{
    "name": "uPlot",
    "version": "1.6.32",
    "license": "MIT",
    "purl": "pkg:npm/uplot@1.6.32",
    "file": "crates/dashboard/assets/uplot.js",
    "notice": "crates/dashboard/assets/uplot.LICENSE",
}]


def cargo(*arguments):
    command = ["cargo", *arguments, "--locked"]
    return subprocess.run(command, cwd=TOP, check=True, capture_output=True, text=True).stdout


def linked():
    """The crates that are not of this workspace, by name and version."""
    found = set()
    for package in ("maitred", "preload"):
        tree = cargo("tree", "-p", package, "-e", "normal,no-proc-macro", "--target", TARGET,
                     "--prefix", "none", "--format", "{p}")
        for line in tree.splitlines():
            name, version, *rest = line.replace("(*)", "").split()
            if not any(it.startswith("(/") for it in rest):
                found.add((name, version.removeprefix("v")))
    return found


def crates():
    """The same with all that cargo knows of them, in order."""
    wanted = linked()
    packages = json.loads(cargo("metadata", "--format-version", "1", "--filter-platform", TARGET))
    packages = [it for it in packages["packages"] if (it["name"], it["version"]) in wanted]
    return sorted(packages, key=lambda it: (it["name"], it["version"]))
