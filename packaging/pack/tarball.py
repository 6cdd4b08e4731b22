"""The tarball: unpacked anywhere, or over /usr/local with --strip-components=1."""

from .archives import File, compressed, tar
from .contents import TARGET, TOP


def tarball(contents):
    name = f"maitred-{contents.version}-{TARGET}"
    documents = ("README.md", "CHANGELOG.md", "docs/config.md", "docs/pm2.md", "docs/requests.md")
    files = [
        File("bin/maitred", contents.executable, executable=True),
        *contents.shared(),
        File("share/doc/maitred/config.schema.json", contents.schema),
        *(File(f"share/doc/maitred/{it.split('/')[-1]}", (TOP / it).read_bytes())
          for it in documents),
        *(File(f"share/doc/maitred/{it}", text) for it, text in contents.notices.items()),
    ]
    return f"{name}.tar.gz", compressed(tar(files, contents.epoch, prefix=f"{name}/"))
