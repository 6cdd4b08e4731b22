# First start: apps are set up, saved, and their unit written.
holds "systemd has started everything" machine_is_up
cd /srv/apps || exit 1
PORT=7001 holds "an app starts" maitred start server.js --name web -i 2
holds "another one starts" maitred start "sleep 100000" --name idle
holds "and is stopped" maitred stop idle
holds "all is saved" maitred save
holds "the unit is written" maitred startup
is "and enabled" enabled "$(systemctl is-enabled maitred-root)"
cd /tests || exit 1
