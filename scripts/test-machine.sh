#!/usr/bin/env bash
# test-machine.sh: starts a small Debian in a virtual machine of its own, with systemd and cgroup v2,
# and runs the tests of tests/machine in it. What it makes is in target/machine.
#
# The processor is emulated, which works everywhere; where KVM does, MACHINE_ACCEL=kvm is faster.
set -euo pipefail

cd "$(dirname "$0")/.."
folder=target/machine
limit=1800

fail() {
    echo "error: $*" >&2
    exit 1
}

scripts/setup-debian.sh qemu-system-x86_64 mmdebstrap mke2fs strip
PATH=$PATH:/usr/sbin:/sbin
as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo)
mkdir -p "$folder"

# The disk is made anew when what it is made of has changed.
made_of=$(cat tests/machine/image.sh tests/machine/machine-test.service | sha256sum)
if [ ! -e "$folder/root.ext4" ] || [ "$(cat "$folder/made-of" 2>/dev/null)" != "$made_of" ]; then
    echo "Making the disk of the test machine (some minutes)"
    "${as_root[@]}" tests/machine/image.sh "$folder"
    echo "$made_of" >"$folder/made-of"
fi

cargo build --package maitred
rm -rf "$folder/tests"
cp -r tests/machine/inside "$folder/tests"
strip -o "$folder/tests/maitred" target/debug/maitred
rm -f "$folder/tests.ext4"
mke2fs -q -t ext4 -L tests -d "$folder/tests" "$folder/tests.ext4" 100M
cp --sparse=always "$folder/root.ext4" "$folder/disk.ext4"

log=$folder/serial.log
: >"$log"
echo "Starting the test machine; what it says is in $log"
timeout --kill-after=10 "$limit" qemu-system-x86_64 \
    -machine "q35,accel=${MACHINE_ACCEL:-tcg}" -smp 2 -m 1024 -nodefaults -no-user-config \
    -display none -monitor none -serial "file:$log" \
    -kernel "$folder/vmlinuz" -initrd "$folder/initrd.img" \
    -append "root=/dev/vda rw console=ttyS0 quiet loglevel=3 no_timer_check systemd.show_status=false systemd.journald.forward_to_console=0" \
    -drive "file=$folder/disk.ext4,if=virtio,format=raw,cache=unsafe" \
    -drive "file=$folder/tests.ext4,if=virtio,format=raw,readonly=on" &
machine=$!
# Ends it with us, and nothing else.
trap 'kill "$machine" 2>/dev/null || true' EXIT
# A kernel that has given up does not end by itself.
while kill -0 "$machine" 2>/dev/null && ! grep -q 'Kernel panic' "$log"; do
    sleep 1
done
kill "$machine" 2>/dev/null || true
ended=0
wait "$machine" || ended=$?
[ "$ended" -ne 124 ] || echo "The test machine had not ended after $limit seconds."

said=$(tr -d '\r' <"$log")
grep -E '^(ok|not ok|#) ' <<<"$said" || true
passed=$(grep -c '^ok ' <<<"$said" || true)
failed=$(grep -c '^not ok ' <<<"$said" || true)
grep -q '^# that is all$' <<<"$said" || fail "the test machine did not come to the end of its tests; see $log"
[ "$failed" -eq 0 ] || fail "$failed of $((passed + failed)) tests in the machine failed"
echo "$passed tests passed in the machine"
