#!/usr/bin/env bash
# setup-debian.sh COMMAND...: installs the Debian package of each COMMAND that is missing, and
# nothing when all are there.
set -euo pipefail

fail() {
    echo "error: $*" >&2
    exit 1
}

# Which package brings a command, and what it is needed for.
package_of() {
    case $1 in
    chromium) echo "chromium" ;;
    nginx) echo "nginx" ;;
    haproxy) echo "haproxy" ;;
    musl-gcc) echo "musl-tools" ;;
    gcc | cc) echo "gcc libc6-dev" ;;
    python3) echo "python3" ;;
    pip3) echo "python3-pip" ;;
    curl) echo "curl" ;;
    openssl) echo "openssl" ;;
    h2load) echo "nghttp2-client" ;;
    systemd-analyze) echo "systemd" ;;
    promtool) echo "prometheus" ;;
    tmux) echo "tmux" ;;
    qemu-system-x86_64) echo "qemu-system-x86" ;;
    mmdebstrap) echo "mmdebstrap" ;;
    mke2fs) echo "e2fsprogs" ;;
    strip | readelf) echo "binutils" ;;
    lintian) echo "lintian" ;;
    php) echo "php-cli" ;;
    javac) echo "default-jdk-headless" ;;
    *) fail "no Debian package is known for $1" ;;
    esac
}
purpose_of() {
    case $1 in
    chromium) echo "opens the demo page as a user would" ;;
    nginx | haproxy) echo "is what maitred is measured against" ;;
    musl-gcc) echo "builds the test programs for musl" ;;
    gcc | cc) echo "builds the test programs" ;;
    readelf) echo "tells which glibc a program needs" ;;
    lintian) echo "checks the deb" ;;
    python3) echo "runs the Python example" ;;
    pip3) echo "installs the Python servers of the tests" ;;
    curl) echo "asks the servers of the tests" ;;
    openssl) echo "makes the certificates of the tests" ;;
    h2load) echo "asks the servers of the tests many things at once" ;;
    systemd-analyze) echo "checks the unit that startup writes" ;;
    promtool) echo "reads the metrics" ;;
    tmux) echo "is the terminal that monit draws on" ;;
    qemu-system-x86_64) echo "emulates the test machine" ;;
    mmdebstrap) echo "makes the systems that packages are tried in" ;;
    mke2fs) echo "makes the disks of the test machine" ;;
    php | javac) echo "is a runtime of make frameworks" ;;
    strip) echo "makes maitred small enough for the test machine" ;;
    esac
}

# /usr/sbin is not on an ordinary user's PATH, but nginx lives there.
PATH=$PATH:/usr/sbin:/sbin

missing=()
packages=()
for command in "$@"; do
    command -v "$command" >/dev/null && continue
    missing+=("$command")
    read -r -a more <<<"$(package_of "$command")"
    packages+=("${more[@]}")
    echo "Missing: $command, which $(purpose_of "$command") (Debian: ${more[*]})"
done
[ ${#missing[@]} -gt 0 ] || exit 0

command -v apt-get >/dev/null ||
    fail "${missing[*]} missing, and there is no apt-get here: please install by hand."
as_root=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null ||
        fail "${missing[*]} missing. As root: apt-get install ${packages[*]}"
    as_root=(sudo)
fi

echo "Installing ${packages[*]} with apt-get"
# The last two keep a package (nginx) from starting its service on this machine.
as_root+=(env DEBIAN_FRONTEND=noninteractive SYSTEMD_OFFLINE=1 RUNLEVEL=1)
"${as_root[@]}" apt-get update -qq </dev/null || echo "apt-get update failed; trying with the package lists there are" >&2
"${as_root[@]}" apt-get install -y -qq --no-install-recommends "${packages[@]}" </dev/null >/dev/null ||
    fail "apt-get could not install ${packages[*]}, needed for ${missing[*]}; its message is above."

for command in "${missing[@]}"; do
    command -v "$command" >/dev/null ||
        fail "${packages[*]} installed, but $command is still missing."
done
