"""npm: `maitred`, and the package for the platform that holds the executable."""

from .archives import File, compressed, tar
from .contents import DESCRIPTION, LICENSE, own, pretty

PLATFORM = "@maitred/linux-x64-gnu"


def packages(contents):
    """File names and bytes of the two packages, as `npm pack` names them."""
    common = {"version": contents.version, "license": LICENSE}
    platform = common | {
        "name": PLATFORM,
        "description": "The executable of maitred for Linux on x86-64 with glibc",
        "os": ["linux"],
        "cpu": ["x64"],
        "libc": ["glibc"],
        # Yarn's Plug'n'Play would leave it in a zip, where it cannot be executed.
        "preferUnplugged": True,
    }
    main = common | {
        "name": "maitred",
        "description": DESCRIPTION,
        "keywords": ["cluster", "load balancer", "pm2", "process manager", "bun", "deno"],
        "os": ["linux"],
        "cpu": ["x64"],
        "bin": {"maitred": "bin/maitred.bin"},
        "main": "./index.js",
        "types": "./index.d.ts",
        "exports": {
            ".": {"types": "./index.d.ts", "default": "./index.js"},
            "./schema.json": "./schema.json",
            "./package.json": "./package.json",
        },
        "optionalDependencies": {PLATFORM: contents.version},
        "preferUnplugged": True,
    }
    yield name("maitred-linux-x64-gnu", contents), packed(contents, platform, [
        File("bin/maitred", contents.executable, executable=True),
        File("README.md", f"The executable of maitred {contents.version}; install `maitred`.\n"),
    ])
    yield name("maitred", contents), packed(contents, main, [
        File("bin/maitred.bin", own("npm/maitred/bin/maitred.bin"), executable=True),
        *(File(it, own(f"npm/maitred/{it}")) for it in ("index.js", "index.d.ts", "README.md")),
        File("schema.json", contents.schema),
    ])


def name(package, contents):
    return f"{package}-{contents.version}.tgz"


def packed(contents, manifest, files):
    notices = [File(name, text) for name, text in contents.notices.items()]
    files = [File("package.json", pretty(manifest)), *files, *notices]
    return compressed(tar(files, contents.epoch, folders=False, prefix="package/"))
