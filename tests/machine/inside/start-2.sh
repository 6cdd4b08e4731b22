# Second start: what was saved is back. What the unit, the kernel and systemd do with it.
holds "systemd has started everything again" machine_is_up
is "apps are back as they were" \
    "careless online, detached online, fast online, idle stopped, reading online, slowly online, web online, web online" "$(states)"
is "those of the ordinary user too" "theirs online" "$(as_ordinary_states)"
is "as that user" ordinary "$(stat -c %U "/proc/$(pgrep -f 'leak.js fast' -u ordinary)")"

holds "sockets are shared, however busy the machine was when they started" \
    lacks "shared sockets .*did not load" maitred describe web
. ./memory.sh
. ./unit.sh
. ./store.sh

# The client sees how the machine stops: it outlives the unit, and its result is read by the next start.
rm -f /var/lib/machine-test/shutdown*
systemd-run --quiet --unit=client -p Before=maitred-root.service -p DefaultDependencies=no \
    node /srv/apps/client.js 7001 /var/lib/machine-test/shutdown
holds "a client is served" comes 60 test -e /var/lib/machine-test/shutdown.busy
