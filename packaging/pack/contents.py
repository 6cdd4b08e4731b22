"""What all packages are made of."""

import json
import re
import subprocess
from pathlib import Path

from .archives import File

TOP = Path(__file__).resolve().parent.parent.parent
PACKAGING = TOP / "packaging"
TARGET = "x86_64-unknown-linux-gnu"
DESCRIPTION = "Run a server app on all cores of a machine, without changing it"
LICENSE = "MIT OR Apache-2.0"
NOTICES = ("LICENSE-MIT", "LICENSE-APACHE", "THIRD-PARTY.txt")


class Contents:
    """The executable, what it prints for packages, and what stands beside it in the checkout."""

    def __init__(self, executable, pages, epoch):
        self.executable = executable.read_bytes()
        self.epoch = epoch
        self.version = version()
        self.pages = {it.name: it.read_bytes() for it in sorted(pages.glob("*.[15]"))}
        self.schema = said(executable, "schema")
        self.completions = {it: said(executable, "completion", it) for it in ("bash", "zsh", "fish")}
        self.notices = {name: (TOP / name).read_bytes() for name in NOTICES}

    def shared(self, compress=lambda data: data, suffix=""):
        """Man pages, completions, the unit, and what Prometheus and Grafana read, below /usr."""
        for name, page in self.pages.items():
            yield File(f"share/man/man{name[-1]}/{name}{suffix}", compress(page))
        yield File("share/bash-completion/completions/maitred", self.completions["bash"])
        yield File("share/zsh/vendor-completions/_maitred", self.completions["zsh"])
        yield File("share/fish/vendor_completions.d/maitred.fish", self.completions["fish"])
        yield File("lib/systemd/system/maitred@.service", own("systemd/maitred@.service"))
        for name in ("alerts.yaml", "grafana.json"):
            yield File(f"share/maitred/{name}", (TOP / "deploy/observability" / name).read_bytes())


def version():
    text = (TOP / "Cargo.toml").read_text(encoding="utf-8")
    return re.search(r'^version = "(.*)"', text, re.MULTILINE).group(1)


def said(executable, *arguments):
    return subprocess.run([executable, *arguments], check=True, capture_output=True).stdout


def own(path):
    """A file of the folder packaging."""
    return (PACKAGING / path).read_bytes()


def pretty(value):
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
