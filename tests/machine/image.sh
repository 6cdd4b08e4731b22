#!/usr/bin/env bash
# image.sh FOLDER: makes the disk of the test machine in FOLDER: a small Debian with systemd, Node.js
# and a kernel, from the Debian packages that this machine's apt knows of. To be run as root.
#
# What it leaves there: root.ext4, vmlinuz, initrd.img.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
folder=$1
root=$folder/root
packages=systemd-sysv,dbus,udev,nodejs,curl,linux-image-cloud-amd64,initramfs-tools,procps

fail() {
    echo "error: $*" >&2
    exit 1
}

# The release is this machine's, for which maitred is built here.
release=$(. /etc/os-release && [ "$ID" = debian ] && echo "${VERSION_CODENAME-}") ||
    fail "the test machine is made of the packages that a Debian's apt knows of, and this is none"

# Where apt gets Debian's packages from, and how, is this machine's affair: the same serves here.
sources=$folder/sources.list
apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' \
    'Created-By: Packages' 'Origin: Debian' | grep " $release" | sort -u >"$sources" || true
[ -s "$sources" ] || fail "apt knows no Debian $release here; the test machine is made of its packages"
options=$folder/apt.conf
apt-config dump --format '%f "%v";%n' | grep -E '^Acquire::(http|https|Check-)' >"$options" || true

trap 'rm -rf "$root" "$folder/root.ext4.new"' EXIT
rm -rf "$root"
mmdebstrap --quiet --variant=minbase --mode=root --aptopt="$options" --include="$packages" \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' "$release" "$root" "$sources"

# The machine runs the tests when it has started, from its second disk.
install -m 0644 "$here/machine-test.service" "$root/etc/systemd/system/"
ln -s ../machine-test.service "$root/etc/systemd/system/multi-user.target.wants/"
mkdir -p "$root/tests"
echo machine >"$root/etc/hostname"
printf '127.0.0.1 localhost machine\n' >"$root/etc/hosts"
: >"$root/etc/fstab"
# Nobody logs in; the serial line is the tests'.
for unit in getty@.service serial-getty@.service apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
chroot "$root" useradd --create-home --shell /bin/bash ordinary

cp "$root"/boot/vmlinuz-* "$folder/vmlinuz"
cp "$root"/boot/initrd.img-* "$folder/initrd.img"
rm -rf "$root"/boot/* "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/*
mke2fs -q -t ext4 -d "$root" "$folder/root.ext4.new" 1500M
mv "$folder/root.ext4.new" "$folder/root.ext4"
