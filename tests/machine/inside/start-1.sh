# First start: apps are set up and saved, their unit is written.
holds "systemd has started everything" machine_is_up
cd /srv/apps || exit 1
# Those that are asked to end under load have a long kill_timeout: what is emulated is slow.
holds "apps start" maitred start apps.json
holds "one is stopped" maitred stop idle
holds "without a unit nothing but looking keeps to the limit" says "300.0mb, looked at every second$" maitred describe web
holds "all is saved" maitred save
holds "the unit is written" maitred startup
is "and enabled" enabled "$(systemctl is-enabled maitred-root)"

# An ordinary user is told what root has to run.
holds "apps of an ordinary user start" as_ordinary maitred start leak.js --name theirs --max-memory-restart 100M -- fast
holds "and are saved" as_ordinary maitred save
line=$(as_ordinary maitred startup | grep '^sudo ')
is "an ordinary user is told the line for root" 'sudo env PATH="$PATH" '"'/usr/local/bin/maitred' startup systemd -u ordinary --hp '/home/ordinary'" "$line"
holds "root runs that line" sh -c "${line#sudo }"
is "the user's unit is enabled" enabled "$(systemctl is-enabled maitred-ordinary)"
cd /tests || exit 1
