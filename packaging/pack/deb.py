"""Debian and its relatives."""

import hashlib
from datetime import datetime, timezone
from email.utils import format_datetime

from .archives import File, ar, compressed, tar
from .contents import DESCRIPTION, own

MAINTAINER = "The maitred developers <maitred@maitred.invalid>"
CONFIG = "etc/maitred/example.config.json"


def deb(contents):
    version = f"{contents.version}-1"
    files = [
        File("usr/bin/maitred", contents.executable, executable=True),
        *(File(f"usr/{it.path}", it.content) for it in contents.shared(compressed, ".gz")),
        File(CONFIG, own("etc/example.config.json")),
        File("usr/share/doc/maitred/copyright", copyright_file(contents)),
        File("usr/share/doc/maitred/changelog.Debian.gz", compressed(changelog(contents, version))),
        File("usr/share/doc/maitred/THIRD-PARTY.txt.gz",
             compressed(contents.notices["THIRD-PARTY.txt"])),
        File("usr/share/doc/maitred/config.schema.json.gz", compressed(contents.schema)),
    ]
    size = sum(-(-len(it.content) // 1024) for it in files)
    fields = [
        "Package: maitred",
        f"Version: {version}",
        "Architecture: amd64",
        f"Maintainer: {MAINTAINER}",
        f"Installed-Size: {size}",
        "Depends: libc6 (>= 2.28), adduser",
        "Section: httpd",
        "Priority: optional",
        f"Description: {DESCRIPTION[0].lower()}{DESCRIPTION[1:]}",
        " maitred starts copies of an unchanged server app, owns its listening socket,",
        " and hands each connection or request to a worker that is free. It works with",
        " Bun, Node, Deno, Python and most other programs, and takes the commands, flags",
        " and config files of pm2.",
    ]
    sums = "".join(f"{hashlib.md5(it.content).hexdigest()}  {it.path}\n" for it in files)
    control = [
        File("control", "\n".join(fields) + "\n"),
        File("md5sums", sums),
        File("conffiles", f"/{CONFIG}\n"),
        *(File(it, own(f"deb/{it}"), executable=True) for it in ("postinst", "prerm", "postrm")),
    ]
    epoch = contents.epoch
    members = [
        ("debian-binary", b"2.0\n"),
        ("control.tar.gz", compressed(tar(control, epoch, prefix="./"))),
        ("data.tar.gz", compressed(tar(files, epoch, prefix="./"))),
    ]
    return f"maitred_{version}_amd64.deb", ar(members, epoch)


def changelog(contents, version):
    date = format_datetime(datetime.fromtimestamp(contents.epoch, timezone.utc))
    return (f"maitred ({version}) unstable; urgency=medium\n\n  * Version {contents.version}; see "
            f"CHANGELOG.md of maitred.\n\n -- {MAINTAINER}  {date}\n").encode()


def copyright_file(contents):
    """Debian's machine-readable format."""
    mit = contents.notices["LICENSE-MIT"].decode()
    holder = next(line for line in mit.splitlines() if line.startswith("Copyright"))
    text = mit.split(holder, 1)[1].strip()
    lines = "\n".join(f" {line}" if line.strip() else " ." for line in text.splitlines())
    return (
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n"
        "Upstream-Name: maitred\n"
        "Comment: The notices of what is linked into maitred are in THIRD-PARTY.txt.gz.\n\n"
        f"Files: *\nCopyright: {holder.removeprefix('Copyright (c) ')}\nLicense: Expat or Apache-2.0\n\n"
        f"License: Expat\n{lines}\n\n"
        "License: Apache-2.0\n On Debian systems, the Apache License 2.0 is in\n"
        " /usr/share/common-licenses/Apache-2.0.\n"
    )
