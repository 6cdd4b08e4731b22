"""Why a block of the manual cannot run in its test, by the word after `needs=`."""

REASONS = {
    "registry": "it downloads from npm, PyPI or an image registry; `make package-test` installs the packages",
    "debian": "it installs a package as root; `make package-test` does so in a Debian of its own",
    "systemd": "it needs systemd as process 1; `make test-machine` has one",
    "cluster": "it needs a Kubernetes cluster; tests/kubernetes validates the manifests and runs their pods",
    "docker": "it needs a container engine; `make package-test` makes the image's files, without running a container",
    "checkout": "it builds a checkout of the source",
}
