# Limits of memory, where the unit's control group is made over.
branch=/sys/fs/cgroup/system.slice/maitred-root.service

# The control group of a process, below the branch.
group_of() {
    local path
    path=$(sed -n 's/^0:://p' "/proc/$1/cgroup")
    echo "${path#/system.slice/}"
}

pid_of() {
    field "$1" it.pid
}

# replaced NAME PID: it runs, and is another process.
replaced() {
    local pid
    pid=$(pid_of "$1")
    [ "$pid" != "$2" ] && [ "$pid" -gt 0 ]
}

log_of() {
    cat "/root/.maitred/apps/$1/supervisor.log"
}

is "the kernel bounds an instance with a limit" $((600 * 1024 * 1024)) "$(cat "/sys/fs/cgroup/system.slice/$(group_of "$(pid_of web)")/memory.max")"
holds "describe tells who watches" says "300.0mb, looked at every second; the kernel kills at 600.0mb (cgroup)" maitred describe web
holds "also to the ordinary user" says "the kernel kills at 356.0mb (cgroup)" as_ordinary maitred describe theirs
is "one without a limit has no group of its own" maitred-root.service/maitred "$(group_of "$(pid_of careless)")"
is "nothing is in the branch's root" "" "$(cat $branch/cgroup.procs)"

pid=$(pid_of fast)
maitred sendSignal SIGUSR2 fast >/dev/null
holds "one that takes gigabytes at once is killed and restarted" comes 90 replaced fast "$pid"
holds "it is told that the kernel did so" says "was OOM-killed at its cgroup limit of 336 MB" log_of fast
holds "and described" says "last exit .*killed at 336.0mb of memory" maitred describe fast
is "the others run on" 0 "$(field web it.pm2_env.restart_time)"

pid=$(pid_of slowly)
maitred sendSignal SIGUSR2 slowly >/dev/null
holds "one that leaks slowly is replaced" comes 90 replaced slowly "$pid"
holds "because it came to its limit" says "MB, more than 100 MB (max_memory_restart)" log_of slowly
holds "and is not killed" lacks "OOM-killed" log_of slowly

pid=$(pid_of detached)
maitred sendSignal SIGUSR2 detached >/dev/null
holds "one whose detached descendant leaks is replaced" comes 90 replaced detached "$pid"
holds "because of what that has taken" says "MB, more than 130 MB (max_memory_restart)" log_of detached

pid=$(pid_of reading)
truncate -s 500M /var/tmp/large
maitred sendSignal SIGUSR2 reading >/dev/null
holds "one reads more than it may have" comes 90 test -e /run/has-read
# Three times it is looked at, and nothing comes of it.
sleep 3
is "what it has read does not count" "$pid online" "$(field reading '`${it.pid} ${it.pm2_env.status}`')"

# Six instances have a limit. What is left of one that was replaced goes a moment later.
only_six_groups() {
    find $branch -mindepth 1 -maxdepth 1 -name 'maitred-*' | tee /dev/stderr | wc -l | grep -qx 6
}
holds "groups go with their instances" comes 20 only_six_groups

systemd-run --quiet --unit=foreground -p Delegate=memory \
    maitred run /srv/apps/leak.js -i 1 --max-memory-restart 80M --kill-timeout 100s --events /run/events -- fast
in_foreground() {
    cat /sys/fs/cgroup/system.slice/foreground.service/maitred-*/memory.max
}
holds "an app in the foreground is bounded too" comes 60 in_foreground
heeds_signals() {
    journalctl -u foreground | grep -q "waits to be told"
}
holds "which waits to be told" comes 60 heeds_signals
kill -USR2 "$(sed -n 's/.*"event":"started".*"pid":\([0-9]*\).*/\1/p' /run/events)"
holds "and its end is an event with the reason" \
    comes 90 grep -q '"event":"exited".*"out_of_memory":352321536' /run/events
systemctl stop foreground
systemd-run --quiet --unit=not-ours maitred run /srv/apps/leak.js --max-memory-restart 100M -- never
holds "without a branch of its own it runs as ever" comes 60 pgrep -f '^[^ ]*node /srv/apps/leak.js never'
is "and touches no control group" "" "$(find /sys/fs/cgroup/system.slice/not-ours.service -mindepth 1 -type d)"
systemctl stop not-ours
