"""PyPI: a wheel whose script is the executable itself."""

import base64
import hashlib

from .archives import File, zipped
from .contents import DESCRIPTION, LICENSE, NOTICES, own

TAG = "py3-none-manylinux_2_28_x86_64"


def wheel(contents, sbom):
    version = contents.version
    info = f"maitred-{version}.dist-info"
    metadata = [
        "Metadata-Version: 2.4",
        "Name: maitred",
        f"Version: {version}",
        f"Summary: {DESCRIPTION}",
        f"License-Expression: {LICENSE}",
        *(f"License-File: {name}" for name in NOTICES),
        "Keywords: uvicorn,gunicorn,load balancer,process manager",
        "Classifier: Operating System :: POSIX :: Linux",
        "Requires-Python: >=3.8",
        "Description-Content-Type: text/markdown",
        "",
        own("pypi/README.md").decode(),
    ]
    files = [
        File(f"maitred-{version}.data/scripts/maitred", contents.executable, executable=True),
        File(f"{info}/METADATA", "\n".join(metadata)),
        File(f"{info}/WHEEL",
             f"Wheel-Version: 1.0\nGenerator: maitred\nRoot-Is-Purelib: false\nTag: {TAG}\n"),
        *(File(f"{info}/licenses/{name}", text) for name, text in contents.notices.items()),
        File(f"{info}/sboms/maitred.cdx.json", sbom),
    ]
    record = "".join(f"{it.path},sha256={digest(it.content)},{len(it.content)}\n" for it in files)
    files.append(File(f"{info}/RECORD", f"{record}{info}/RECORD,,\n"))
    return f"maitred-{version}-{TAG}.whl", zipped(files, contents.epoch)


def digest(content):
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
