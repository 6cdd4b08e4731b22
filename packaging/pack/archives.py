"""Archives whose bytes depend on nothing but what is in them: no clock, no user, no order of a disk."""

import gzip
import io
import tarfile
import zipfile
from datetime import datetime, timezone


class File:
    """A file of a package: where it lies, what is in it, and whether it can be executed."""

    def __init__(self, path, content, executable=False):
        self.path = path
        self.content = content.encode() if isinstance(content, str) else content
        self.mode = 0o755 if executable else 0o644


def tar(files, epoch, folders=True, prefix=""):
    """A tar of files in their order by name, each folder before what is in it."""
    entries = {}
    for file in files:
        path = prefix + file.path
        parts = path.split("/")[:-1]
        for count in range(1, len(parts) + 1):
            if folders and parts[count - 1] != ".":
                entries.setdefault("/".join(parts[:count]), None)
        entries[path] = file
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for path in sorted(entries):
            file = entries[path]
            info = tarfile.TarInfo(path)
            info.mtime = epoch
            info.uname = info.gname = "root"
            if file is None:
                info.type, info.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(info)
            else:
                info.mode, info.size = file.mode, len(file.content)
                archive.addfile(info, io.BytesIO(file.content))
    return out.getvalue()


def compressed(data):
    return gzip.compress(data, compresslevel=9, mtime=0)


def zipped(files, epoch):
    """A zip of files, as wheels are."""
    date = datetime.fromtimestamp(epoch, timezone.utc).timetuple()[:6]
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for file in files:
            info = zipfile.ZipInfo(file.path, date)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.create_system = 3  # Unix, whose modes follow
            info.external_attr = (0o100000 | file.mode) << 16
            archive.writestr(info, file.content)
    return out.getvalue()


def ar(members, epoch):
    """An ar archive, as debs are."""
    out = [b"!<arch>\n"]
    for name, data in members:
        out.append(f"{name:<16}{epoch:<12}{0:<6}{0:<6}{0o100644:<8o}{len(data):<10}`\n".encode())
        out.append(data + b"\n" * (len(data) % 2))
    return b"".join(out)
