#!/usr/bin/env python3
"""third-party.py: writes THIRD-PARTY.txt, the notices of what is linked into maitred.

With --check it only says whether the file is as it would be written now.
"""

import json
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
TARGET = "x86_64-unknown-linux-gnu"
NOTICES = ("LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE")
LINE = "-" * 79


def cargo(*arguments):
    command = ["cargo", *arguments, "--locked"]
    return subprocess.run(command, cwd=TOP, check=True, capture_output=True, text=True).stdout


def linked():
    """What maitred and the library that it preloads are linked with, by name and version."""
    found = set()
    for package in ("maitred", "preload"):
        tree = cargo("tree", "-p", package, "-e", "normal,no-proc-macro", "--target", TARGET,
                     "--prefix", "none", "--format", "{p}")
        for line in tree.splitlines():
            name, version, *rest = line.replace("(*)", "").split()
            if not any(it.startswith("(/") for it in rest):
                found.add((name, version.removeprefix("v")))
    return found


def notices(folder):
    files = (it for it in folder.iterdir() if it.is_file() and it.name.upper().startswith(NOTICES))
    for file in sorted(files):
        text = file.read_text(encoding="utf-8", errors="replace")
        yield "\n".join(line.rstrip() for line in text.strip().splitlines())


def page():
    wanted = linked()
    packages = json.loads(cargo("metadata", "--format-version", "1", "--filter-platform", TARGET))
    packages = [it for it in packages["packages"] if (it["name"], it["version"]) in wanted]
    packages.sort(key=lambda it: (it["name"], it["version"]))
    users = {}
    parts = ["maitred is linked with these crates. Their notices follow, each text once.\n"]
    for package in packages:
        name = f"{package['name']} {package['version']}"
        parts.append(f"{name}: {package['license'] or 'see its notice'}")
        for text in notices(Path(package["manifest_path"]).parent):
            users.setdefault(text, []).append(name)
    for text, names in users.items():
        parts.append(f"\n{LINE}\n{', '.join(names)}\n{LINE}\n\n{text}")
    return "\n".join(parts) + "\n"


def main():
    file = TOP / "THIRD-PARTY.txt"
    text = page()
    if "--check" not in sys.argv[1:]:
        file.write_text(text, encoding="utf-8")
    elif not file.exists() or file.read_text(encoding="utf-8") != text:
        sys.exit("error: THIRD-PARTY.txt is out of date; run scripts/third-party.py")


main()
