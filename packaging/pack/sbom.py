"""The bill of materials, in CycloneDX: which crates are linked into the executable, and what else is in it."""

import hashlib
import sys
import tomllib
import uuid
from datetime import datetime, timezone

from .contents import DESCRIPTION, LICENSE, TARGET, TOP, pretty, version

sys.path.insert(0, str(TOP / "scripts"))

from linked import VENDORED, crates  # noqa: E402


def sbom(commit, epoch):
    lock = tomllib.loads((TOP / "Cargo.lock").read_text(encoding="utf-8"))
    sums = {(it["name"], it["version"]): it.get("checksum") for it in lock["package"]}
    components = [of_crate(it, sums[it["name"], it["version"]]) for it in crates()]
    components += [component(it, hashlib.sha256((TOP / it["file"]).read_bytes()).hexdigest()) for it in VENDORED]
    own = f"maitred@{version()}"
    return pretty({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        # The same commit gives the same bytes.
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'{own}/{commit}')}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(epoch, timezone.utc).isoformat(),
            "component": {
                "type": "application",
                "bom-ref": own,
                "name": "maitred",
                "version": version(),
                "description": DESCRIPTION,
                "licenses": [{"expression": LICENSE}],
                "properties": [
                    {"name": "commit", "value": commit},
                    {"name": "target", "value": TARGET},
                ],
            },
        },
        "components": components,
        "dependencies": [{"ref": own, "dependsOn": [it["bom-ref"] for it in components]}],
    })


def of_crate(crate, checksum):
    # Older crates write "MIT/Apache-2.0", which is no SPDX expression.
    license = (crate["license"] or "NOASSERTION").replace("/", " OR ")
    purl = f"pkg:cargo/{crate['name']}@{crate['version']}"
    return component({**crate, "license": license, "purl": purl}, checksum)


def component(of, checksum):
    found = {
        "type": "library",
        "bom-ref": of["purl"],
        "name": of["name"],
        "version": of["version"],
        "scope": "required",
        "licenses": [{"expression": of["license"]}],
        "purl": of["purl"],
    }
    if checksum:
        found["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    return found
