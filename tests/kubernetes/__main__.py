"""python3 -m kubernetes MAITRED: checks what deploy has for Kubernetes, and runs its pods.

Every manifest, as kustomize and Helm make it, is validated strictly. Then two pods, each with the command, the
variables, the probes and the end that its manifest says, replace one another behind HAProxy, under clients that
never retry.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from .rollout import roll_out

TOP = Path(__file__).resolve().parent.parent.parent
PACKAGES = TOP / "tests/kubernetes/python"
sys.path.insert(0, str(PACKAGES))

import kubernetes_validate  # noqa: E402  (from the folder above)
import yaml  # noqa: E402

CHART = TOP / "deploy/helm/maitred"
KUSTOMIZE = TOP / "deploy/kubernetes"
# What a chart's user may choose, beside its defaults.
CHOICES = [
    [],
    ["per=connection", "balance=least_conn", "autoscaling.enabled=false"],
    ["autoscaling.queueWait=1", "network.enabled=false", "disruption.enabled=false"],
    ["app={--name,api,server.js}", "env[0].name=A", "env[0].value=b", "trustProxy={10.0.0.0/8,127.0.0.1}"],
    ["image.pullSecrets={registry}", "nodeSelector.disk=ssd", "service.type=LoadBalancer"],
]


def output(*command):
    done = subprocess.run([str(it) for it in command], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"error: {' '.join(map(str, command))} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def kustomized(component):
    if not component:
        return output("kubectl", "kustomize", KUSTOMIZE)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "app"
        subprocess.run(["cp", "-r", KUSTOMIZE, copy], check=True)
        with (copy / "kustomization.yaml").open("a") as file:
            file.write(f"components:\n  - {component}\n")
        return output("kubectl", "kustomize", copy)


def templated(choices):
    flags = [part for choice in choices for part in ("--set", choice)]
    return output("helm", "template", "api", CHART, "--namespace", "api", *flags)


def validated(name, text):
    """The objects of a text, all of them valid, and none with a field that there is not."""
    objects = [it for it in yaml.safe_load_all(text) if it]
    if not objects:
        sys.exit(f"error: {name} makes no objects")
    for it in objects:
        try:
            kubernetes_validate.validate(it, kubernetes_validate.latest_version(), strict=True)
        except kubernetes_validate.ValidationError as error:
            sys.exit(f"error: {name}: {it['kind']}: {error}")
    print(f"kubernetes {name} ... ok ({len(objects)} objects)")
    return objects


def of_kind(objects, kind):
    return next(it for it in objects if it["kind"] == kind)


def has_time_to_end(name, deployment):
    """The grace period is longer than all that a pod waits for at its end."""
    pod = deployment["spec"]["template"]["spec"]
    container = pod["containers"][0]
    flags = dict(it.removeprefix("--").split("=", 1) for it in container["args"]
                 if it.startswith("--") and "=" in it)
    waits = [container["lifecycle"]["preStop"]["sleep"]["seconds"]]
    waits += [int(flags[it].removesuffix("s")) for it in ("drain-timeout", "kill-timeout")]
    if sum(waits) >= pod["terminationGracePeriodSeconds"]:
        sys.exit(f"error: {name}: the pod waits {waits} s at its end, and is killed before that")


def main(maitred):
    output("helm", "lint", "--strict", CHART)
    refused = subprocess.run(["helm", "template", "api", CHART, "--set", "imagee=1"], capture_output=True, text=True)
    if refused.returncode == 0 or "imagee" not in refused.stderr:
        sys.exit("error: the chart takes a value that it does not have")
    made = {f"kustomize {it or 'alone'}": kustomized(it) for it in (None, "queue-wait")}
    made |= {f"helm {' '.join(it) or 'alone'}": templated(it) for it in CHOICES}
    deployments = {}
    for name, text in made.items():
        deployments[name] = of_kind(validated(name, text), "Deployment")
        has_time_to_end(name, deployments[name])
    scaled = made["kustomize queue-wait"].count("maitred_queue_wait_seconds_per_second")
    if scaled != 1:
        sys.exit("error: the component queue-wait does not reach the autoscaler")
    for name in ("kustomize alone", "helm alone"):
        lost = roll_out(Path(maitred).resolve(strict=True), deployments[name]["spec"]["template"]["spec"])
        if lost:
            sys.exit(f"error: the roll-out of {name} has lost {len(lost)} requests: {lost[:5]}")
        print(f"kubernetes roll-out of {name} ... ok (0 requests lost)")


main(*sys.argv[1:])
