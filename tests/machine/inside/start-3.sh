# Third start: the machine has stopped in good order, and units can be removed.
holds "systemd has started everything a third time" machine_is_up
is "no request was lost when the machine stopped" "0 lost" "$(cat /var/lib/machine-test/shutdown)"
holds "the unit is removed" maitred unstartup
is "and is not there" 1 "$(systemctl cat maitred-root >/dev/null 2>&1; echo $?)"
holds "apps go on without it" says "web online" states
holds "the user's unit is removed" maitred unstartup -u ordinary
is "and is not there either" 1 "$(systemctl cat maitred-ordinary >/dev/null 2>&1; echo $?)"
is "no other unit is left" "" "$(ls /etc/systemd/system/multi-user.target.wants | grep maitred)"
