#!/usr/bin/env python3
"""manual.py MDBOOK OUT: makes the manual, an mdBook, from docs and from what its pages link to.

Pages link to files as they lie in the repository, and so work there too. Here pages of docs come to the
top of the book, and every other page or file keeps its path. A link that leads nowhere is an error, and so is a
link to a page that docs/SUMMARY.md does not name.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
LINK = re.compile(r"(\]\()([^)\s]+)(\))")
BOOK = """[book]
title = "maitred"
description = "Run a server app on all cores of a machine, without changing it"
language = "en"
src = "src"

[output.html]
no-section-label = true
[output.html.fold]
enable = true
level = 1
"""


def outside_code(text, change):
    """`text` with `change` made to each part that is no code."""
    parts = re.split(r"(^ *```.*?^ *```$|`[^`\n]+`)", text, flags=re.M | re.S)
    return "".join(part if at % 2 else change(part) for at, part in enumerate(parts))


def anchors(path):
    """The anchors of a page's headings, as mdBook and GitHub make them."""
    found = set()
    for heading in re.findall(r"^#+ (.*)$", outside_fences(path.read_text()), re.M):
        word = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower())
        found.add(word.strip().replace(" ", "-"))
    return found


def outside_fences(text):
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.M | re.S)


def in_book(path):
    """Where a file of the repository is in the book."""
    path = path.relative_to(TOP)
    return path.relative_to("docs") if path.parts[0] == "docs" else path


class Book:
    def __init__(self):
        self.summary = TOP / "docs/SUMMARY.md"
        listed = re.findall(r"\]\(([^)]+)\)", self.summary.read_text())
        self.pages = [(self.summary.parent / it).resolve() for it in listed]
        self.files = set()
        self.wrong = []

    def link(self, page, target):
        """A link of a page, as it is in the book."""
        if re.match(r"[a-z]+:", target):
            return target
        path, hash_sign, anchor = target.partition("#")
        to = (page.parent / path).resolve() if path else page
        here = page.relative_to(TOP)
        if not to.exists():
            self.wrong.append(f"{here}: {target} leads nowhere")
        elif anchor and to.suffix == ".md" and anchor not in anchors(to):
            self.wrong.append(f"{here}: {target}: there is no such heading")
        elif to.is_dir():
            self.wrong.append(f"{here}: {target} is a folder; link to a page or a file")
        elif to.suffix == ".md" and to not in self.pages:
            self.wrong.append(f"{here}: docs/SUMMARY.md does not name {target}")
        elif to.suffix != ".md":
            self.files.add(to)
        if not path:
            return target
        return os.path.relpath(in_book(to), in_book(page).parent) + hash_sign + anchor

    def rewritten(self, page):
        def change(part):
            return LINK.sub(lambda it: it[1] + self.link(page, it[2]) + it[3], part)
        return outside_code(page.read_text(), change)

    def write(self, folder):
        for page in (self.summary, *self.pages):
            text = self.rewritten(page)
            place = folder / in_book(page)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        for file in self.files:
            place = folder / in_book(file)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, place)


def main(mdbook, out):
    book = Book()
    unlisted = {it for it in (TOP / "docs").rglob("*.md")} - {*book.pages, book.summary}
    book.wrong += [f"docs/SUMMARY.md does not name {it.relative_to(TOP / 'docs')}" for it in sorted(unlisted)]
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "book.toml").write_text(BOOK)
        book.write(folder / "src")
        if book.wrong:
            sys.exit("\n".join(f"error: {it}" for it in book.wrong))
        subprocess.run([mdbook, "build", "--dest-dir", Path(out).resolve(), folder], check=True)


main(*sys.argv[1:])
