# Second start: what was saved is back.
holds "systemd has started everything again" machine_is_up
is "apps are back as they were" "web online, web online, idle stopped" "$(states)"
