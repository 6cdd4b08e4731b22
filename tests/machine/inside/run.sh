#!/bin/bash
# In the test machine: runs the tests of this start, and lets the machine start anew or end.
cd /tests || exit 1
state=/var/lib/machine-test
mkdir -p "$state"
start=$(($(cat "$state/start" 2>/dev/null || echo 0) + 1))
echo "$start" >"$state/start"
export PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin HOME=/root USER=root
unset MAITRED_HOME

# The apps, and what starts them, are where they are before the second disk is.
if [ "$start" -eq 1 ]; then
    install maitred /usr/local/bin/maitred
    cp -r apps /srv/apps
fi
. ./lib.sh
echo "# start $start, $(uname -r), systemd $(systemctl --version | head -1 | cut -d' ' -f2)"
if [ -e "start-$start.sh" ]; then
    . "./start-$start.sh"
fi
echo "# end of start $start"
if [ -e "start-$((start + 1)).sh" ]; then
    systemctl reboot
else
    echo "# that is all"
    systemctl poweroff
fi
# Until systemd ends us.
sleep infinity
