"""The npm packages, installed by each package manager from a registry that has them."""

import contextlib
import json
import subprocess

from .place import TOP, Place

TOOLS = TOP / "tests/tools/node_modules/.bin"


@contextlib.contextmanager
def registry(dist):
    command = ["node", TOP / "packaging/checks/registry.mjs", dist]
    running = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield running.stdout.readline().strip()
    finally:
        running.stdin.close()
        running.wait(10)
        running.stdout.close()


def place(stack, dist):
    """A folder with a project in it, for which there are only our packages."""
    at = Place(stack)
    address = stack.enter_context(registry(dist))
    (at.folder / "package.json").write_text('{ "name": "it", "version": "1.0.0", "private": true }')
    (at.folder / ".npmrc").write_text(f"registry={address}\nupdate-notifier=false\nfund=false\naudit=false\n")
    at.env |= {"npm_config_registry": address, "BUN_CONFIG_REGISTRY": address,
               "YARN_NPM_REGISTRY_SERVER": address, "YARN_UNSAFE_HTTP_WHITELIST": "127.0.0.1",
               "YARN_ENABLE_TELEMETRY": "0", "PATH": f"{at.env['PATH']}:{TOOLS}"}
    return at


def npm_global(stack, dist):
    at = place(stack, dist)
    at.run("npm", "install", "--global", "--prefix", at.folder / "global", "maitred")
    program = at.folder / "global/bin/maitred"
    above = at.demo(program)
    # The executable takes the place of what npm linked.
    assert above[0] == "maitred", above
    at.run("npm", "uninstall", "--global", "--prefix", at.folder / "global", "maitred")
    left = [it for it in (at.folder / "global").rglob("*maitred*")]
    assert not left, left


def npm_local(stack, dist):
    at = place(stack, dist)
    at.run("npm", "install", "maitred")
    above = at.demo(at.folder / "node_modules/.bin/maitred")
    assert above[0] == "maitred", above
    at.demo("npx", "maitred", ends_with=None)
    schema = json.loads(at.run("node", "-p", "JSON.stringify(require('maitred/schema.json'))"))
    assert schema == json.loads((TOP / "docs/config.schema.json").read_text())


def npx_without_installing(stack, dist):
    at = place(stack, dist)
    at.demo("npx", "--yes", "maitred", ends_with=None)


def pnpm(stack, dist):
    at = place(stack, dist)
    at.run("pnpm", "add", "maitred")
    above = at.demo(at.folder / "node_modules/.bin/maitred")
    assert above[0] == "maitred", above


def bun(stack, dist):
    at = place(stack, dist)
    at.run("bun", "add", "maitred")
    above = at.demo(at.folder / "node_modules/.bin/maitred", example="bun-serve/server.ts")
    assert above[0] == "maitred", above
    at.demo("bunx", "maitred", example="bun-serve/server.ts", ends_with=None)


def yarn_plug_n_play(stack, dist):
    at = place(stack, dist)
    (at.folder / "yarn.lock").touch()
    at.run("yarn", "add", "maitred")
    assert not (at.folder / "node_modules/maitred").exists()
    at.demo("yarn", "run", "maitred", ends_with=None)


def what_is_missing_is_said(stack, dist):
    at = place(stack, dist)
    at.run("npm", "install", "--omit=optional", "maitred")
    done = subprocess.run([at.folder / "node_modules/.bin/maitred", "--version"], env=at.env,
                          cwd=at.folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 127, done
    assert "@maitred/linux-x64-gnu is not installed" in done.stderr, done


def types(stack, dist):
    """An editor's view: a config that imports the package."""
    at = place(stack, dist)
    at.run("npm", "install", "maitred")
    good = "{ apps: [{ script: 'it.sh', instances: 2, max_memory_restart: '500M' }] }"
    text = 'import { defineConfig } from "maitred";\nexport default defineConfig(%s);\n'
    (at.folder / "good.config.ts").write_text(text % good)
    (at.folder / "it.sh").touch()
    tsc = ["tsc", "--noEmit", "--strict", "--module", "nodenext"]
    at.run(*tsc, "good.config.ts")
    for bad in (good.replace("instances", "instnaces"), good.replace("'500M'", "true")):
        (at.folder / "bad.config.ts").write_text(text % bad)
        done = subprocess.run([*tsc, "bad.config.ts"], env=at.env, cwd=at.folder, capture_output=True,
                              text=True, timeout=120)
        assert "bad.config.ts(2," in done.stdout, done
    checked = at.run(at.folder / "node_modules/.bin/maitred", "check", "good.config.ts")
    assert json.loads(checked)[0]["instances"] == 2, checked


TESTS = (npm_global, npm_local, npx_without_installing, pnpm, bun, yarn_plug_n_play,
         what_is_missing_is_said, types)
