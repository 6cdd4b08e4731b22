"""python3 -m pack EXECUTABLE PAGES COMMIT EPOCH OUT: makes all packages from a built executable."""

import hashlib
import sys
from pathlib import Path

from .contents import Contents
from .deb import deb
from .image import image
from .npm import packages
from .sbom import sbom
from .tarball import tarball
from .wheel import wheel


def main(executable, pages, commit, epoch, out):
    out = Path(out)
    contents = Contents(Path(executable).resolve(), Path(pages), int(epoch))
    bill = sbom(commit, int(epoch))
    made = {f"maitred-{contents.version}.cdx.json": bill.encode()}
    made.update(packages(contents))
    made.update([wheel(contents, bill), deb(contents), tarball(contents), image(contents)])
    sums = "".join(f"{hashlib.sha256(made[it]).hexdigest()}  {it}\n" for it in sorted(made))
    made["SHA256SUMS"] = sums.encode()
    for name, data in made.items():
        (out / name).write_bytes(data)
    print(sums, end="")


main(*sys.argv[1:])
