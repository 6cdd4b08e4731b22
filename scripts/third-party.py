#!/usr/bin/env python3
"""third-party.py: writes THIRD-PARTY.txt, the notices of what is linked into maitred.

With --check it only says whether the file is as it would be written now.
"""

import sys
from pathlib import Path

from linked import TOP, VENDORED, crates

NOTICES = ("LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE")
LINE = "-" * 79


def notices(folder):
    files = (it for it in folder.iterdir() if it.is_file() and it.name.upper().startswith(NOTICES))
    for file in sorted(files):
        text = file.read_text(encoding="utf-8", errors="replace")
        yield "\n".join(line.rstrip() for line in text.strip().splitlines())


def page():
    users = {}
    parts = ["maitred is linked with these crates, and has the files of the last ones in it. Their notices follow, each text once.\n"]
    for package in crates():
        name = f"{package['name']} {package['version']}"
        parts.append(f"{name}: {package['license'] or 'see its notice'}")
        for text in notices(Path(package["manifest_path"]).parent):
            users.setdefault(text, []).append(name)
    for it in VENDORED:
        name = f"{it['name']} {it['version']}"
        parts.append(f"{name}: {it['license']}")
        users.setdefault((TOP / it["notice"]).read_text(encoding="utf-8").strip(), []).append(name)
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
