# What the tests in the machine share. Results are lines "ok NAME" and "not ok NAME".

# is NAME EXPECTED SEEN: both are the same text.
is() {
    if [ "$2" = "$3" ]; then
        echo "ok $1"
    else
        echo "not ok $1"
        printf '#   expected: %s\n#   seen:     %s\n' "$2" "$3"
    fi
}

# holds NAME COMMAND...: the command succeeds.
holds() {
    local name=$1 said
    shift
    if said=$("$@" 2>&1); then
        echo "ok $name"
    else
        echo "not ok $name"
        printf '%s\n%s\n' "$*" "$said" | tail -n 40 | sed 's/^/#   /'
    fi
}

# comes SECONDS COMMAND...: the command succeeds, within so much time.
comes() {
    local until=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$until" ] || return 1
        sleep 0.2
    done
}

# says PATTERN COMMAND...: what the command writes has the pattern in it.
says() {
    local pattern=$1
    shift
    "$@" 2>&1 | tee /dev/stderr | grep -q -- "$pattern"
}

# lacks PATTERN COMMAND...: it has not.
lacks() {
    ! says "$@"
}

# as_ordinary COMMAND...: runs it as the ordinary user, as if just logged in, in this folder.
as_ordinary() {
    setpriv --reuid=ordinary --regid=ordinary --init-groups \
        env -i HOME=/home/ordinary USER=ordinary LOGNAME=ordinary PATH="$PATH" "$@"
}

# Everything that is started with the machine has been started, and nothing of it has failed.
machine_is_up() {
    local state
    state=$(timeout 120 systemctl is-system-running --wait)
    [ "$state" = running ] && return
    echo "the machine is $state"
    systemctl --no-pager list-jobs
    systemctl --no-pager --failed
    systemctl --no-pager status 'maitred-*'
    return 1
}

# The states of all instances, sorted.
states() {
    maitred jlist | states_of
}
as_ordinary_states() {
    as_ordinary maitred jlist | states_of
}
states_of() {
    node -e '
        const all = JSON.parse(require("fs").readFileSync(0, "utf8"));
        console.log(all.map((it) => `${it.name} ${it.pm2_env.status}`).sort().join(", "));'
}

# field NAME JAVASCRIPT: something of the first instance of an app, as jlist tells it.
field() {
    maitred jlist | node -e '
        const all = JSON.parse(require("fs").readFileSync(0, "utf8"));
        const it = all.find((it) => it.name === process.argv[1]);
        console.log(eval(process.argv[2]));' "$1" "$2"
}

# Processes of a unit, with all that have come of them.
processes_of() {
    local group
    group=$(systemctl show --value -p ControlGroup "$1")
    [ -n "$group" ] || return 0
    find "/sys/fs/cgroup$group" -name cgroup.procs -exec cat {} + 2>/dev/null | sort -n
}

no_process_of() {
    [ -z "$(processes_of "$1")" ]
}
