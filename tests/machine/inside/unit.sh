# The unit: reload, stop, start, and what happens when systemd kills.
holds "systemctl reload replaces the workers" systemctl reload maitred-root
holds "and they serve" curl -sS --max-time 20 http://localhost:7001

# Those who stop in good order, and those whose requests maitred waits for.
for port in 7001 7002; do
    rm -f /run/client-$port*
    node /srv/apps/client.js $port /run/client-$port &
done
holds "clients are served" comes 60 test -e /run/client-7001.busy -a -e /run/client-7002.busy
holds "the unit stops" systemctl stop maitred-root
holds "clients see the end" comes 60 test -e /run/client-7001 -a -e /run/client-7002
is "no request is lost" "0 lost" "$(cat /run/client-7001)"
is "nor where each is placed by itself" "0 lost" "$(cat /run/client-7002)"
holds "no process is left" no_process_of maitred-root
is "nor a control group" "" "$(ls -d $branch 2>/dev/null)"
holds "the other user's apps run on" says "theirs online" as_ordinary_states

holds "the unit starts again" systemctl start maitred-root
is "with all its apps" 7 "$(states | grep -o online | wc -l)"

holds "systemd kills all processes of the unit" systemctl kill -s KILL maitred-root
holds "nothing is left of them" comes 20 no_process_of maitred-root
holds "apps are shown as crashed" says "web crashed" states
holds "a restart of the unit brings them back" systemctl restart maitred-root
is "all of them" 7 "$(states | grep -o online | wc -l)"

supervisor=$(maitred describe web | sed -n 's/.*supervisor *pid \([0-9]*\),.*/\1/p' | head -1)
kill -KILL "$supervisor"
another_supervises() {
    local now
    now=$(maitred describe web | sed -n 's/.*supervisor *pid \([0-9]*\),.*/\1/p' | head -1)
    [ -n "$now" ] && [ "$now" != "$supervisor" ]
}
holds "a dead supervisor's app has another one" comes 60 another_supervises
is "and goes on, as all others do" 7 "$(states | grep -o online | wc -l)"
no_empty_group() {
    [ -z "$(grep -L . $branch/maitred-*/cgroup.procs)" ]
}
holds "no group is left empty" comes 20 no_empty_group
