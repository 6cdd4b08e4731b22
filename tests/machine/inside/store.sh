# systemd's store of descriptors: a port stays open while its unit restarts. This systemd may be older than the
# variable by which units learn of the store, so the unit sets that itself.
cat >/etc/systemd/system/stored.service <<'UNIT'
[Service]
Type=notify
NotifyAccess=all
KillMode=mixed
FileDescriptorStoreMax=4
Environment=FDSTORE=4 PORT=7010 HOME=/root
Restart=always
RestartSec=3
TimeoutStartSec=300
ExecStart=/usr/local/bin/maitred run /srv/apps/server.js -i 2
UNIT
systemctl daemon-reload
# In this machine an app may be taken for up before it listens.
is_stored() {
    [ "$(systemctl show -P NFileDescriptorStore stored)" = 1 ]
}
holds "a unit with a store starts" systemctl start stored
holds "and its port is stored" comes 60 is_stored
rm -f /run/client-7010*
node /srv/apps/client.js 7010 /run/client-7010 >/run/client-7010.log &
holds "its clients are served" comes 60 test -e /run/client-7010.busy
for turn in first second; do
    rm -f /run/client-7010.busy
    holds "the unit restarts, the $turn time" systemctl restart stored
    holds "with the same socket" is_stored
    holds "clients are served again" comes 60 test -e /run/client-7010.busy
    holds "and were never refused" test ! -e /run/client-7010
done
is "no request was lost" "" "$(cat /run/client-7010.log)"
holds "the unit stops" systemctl stop stored
holds "clients are refused when the unit has stopped" comes 60 test -e /run/client-7010

holds "it starts again" systemctl start stored
holds "and stores its port" comes 60 is_stored
systemctl kill -s KILL stored
holds "a client that comes after the unit has died waits for the next run" \
    curl -sS --retry 0 --max-time 120 http://localhost:7010
sed -i 's/PORT=7010/PORT=7011/' /etc/systemd/system/stored.service
systemctl daemon-reload
holds "with another port it restarts" systemctl restart stored
port_is_closed() {
    ! curl -s --max-time 5 http://localhost:7010
}
holds "and the old one is given up" comes 60 port_is_closed
holds "and the new one is stored" comes 60 is_stored
systemctl stop stored
rm /etc/systemd/system/stored.service
systemctl daemon-reload
