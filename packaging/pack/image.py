"""A container image that holds the executable alone, to copy it from; in the OCI layout, which podman,
buildah, skopeo and docker read.
"""

import hashlib
import json
from datetime import datetime, timezone

from .archives import File, compressed, tar
from .contents import DESCRIPTION, LICENSE


def image(contents):
    layer = tar([
        File("maitred", contents.executable, executable=True),
        *(File(f"licenses/{name}", text) for name, text in contents.notices.items()),
    ], contents.epoch)
    packed = compressed(layer)
    created = datetime.fromtimestamp(contents.epoch, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    config = plain({
        "architecture": "amd64",
        "os": "linux",
        "created": created,
        "config": {"Entrypoint": ["/maitred"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest(layer)}"]},
        "history": [{"created": created, "comment": "maitred"}],
    })
    manifest = plain({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": blob("application/vnd.oci.image.config.v1+json", config),
        "layers": [blob("application/vnd.oci.image.layer.v1.tar+gzip", packed)],
        "annotations": {
            "org.opencontainers.image.title": "maitred",
            "org.opencontainers.image.version": contents.version,
            "org.opencontainers.image.description": DESCRIPTION,
            "org.opencontainers.image.licenses": LICENSE,
        },
    })
    described = blob("application/vnd.oci.image.manifest.v1+json", manifest)
    described["annotations"] = {"org.opencontainers.image.ref.name": f"maitred:{contents.version}"}
    files = [File(f"blobs/sha256/{digest(it)}", it) for it in (packed, config, manifest)]
    files.append(File("oci-layout", plain({"imageLayoutVersion": "1.0.0"})))
    files.append(File("index.json", plain({"schemaVersion": 2, "manifests": [described]})))
    return f"maitred-{contents.version}-oci.tar", tar(files, contents.epoch)


def plain(value):
    return json.dumps(value, separators=(",", ":")).encode()


def digest(data):
    return hashlib.sha256(data).hexdigest()


def blob(kind, data):
    return {"mediaType": kind, "digest": f"sha256:{digest(data)}", "size": len(data)}
