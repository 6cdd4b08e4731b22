//! `maitred startup` and `unstartup`: what was saved comes back when the machine starts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use clap::Args;

use super::{Manner, together};
use home::Home;

/// Let the machine bring back what was saved when it starts (systemd).
#[derive(Debug, Args)]
pub(super) struct Startup {
    /// The init system; found out if not told.
    platform: Option<String>,

    /// Whose apps; by default this user's.
    #[arg(short, long)]
    user: Option<String>,

    /// That user's home folder.
    #[arg(long, value_name = "DIR")]
    hp: Option<PathBuf>,

    /// The unit's name.
    #[arg(long, value_name = "NAME")]
    service_name: Option<String>,

    /// Take rights from the apps that they seldom need: none can become another user (sudo, file
    /// capabilities), write below /usr, /boot and /etc, or see the machine's /tmp, and what they
    /// create is for their user alone.
    #[arg(long)]
    harden: bool,

    /// Wait for the network. The unit does so anyway.
    #[arg(long, hide = true)]
    wait_ip: bool,
}

/// Undo what `startup` has done.
#[derive(Debug, Args)]
pub(super) struct Unstartup {
    /// The init system; found out if not told.
    platform: Option<String>,

    /// Whose apps; by default this user's.
    #[arg(short, long)]
    user: Option<String>,

    /// That user's home folder. The unit is found without it.
    #[arg(long, value_name = "DIR", hide = true)]
    hp: Option<PathBuf>,

    /// The unit's name.
    #[arg(long, value_name = "NAME")]
    service_name: Option<String>,
}

/// What `--harden` adds. The netlink sockets are maitred's own, which asks the kernel for connections.
const HARDENING: &str = "NoNewPrivileges=yes\n\
     ProtectSystem=full\n\
     PrivateTmp=yes\n\
     RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK\n\
     UMask=0077\n";

/// Where units of this machine are.
const UNITS: &str = "/etc/systemd/system";

impl Startup {
    pub(super) fn execute(self, manner: &Manner) -> anyhow::Result<u8> {
        only_systemd(self.platform.as_deref())?;
        let own = own_user();
        let user = self.user.unwrap_or_else(|| own.clone());
        let named = std::env::var_os("MAITRED_HOME").filter(|path| !path.is_empty());
        let home = match (self.hp, &named) {
            (Some(hp), _) => hp.join(".maitred"),
            (None, Some(_)) => Home::named()?.path().to_owned(),
            (None, None) if user == own => Home::named()?.path().to_owned(),
            (None, None) => bail!("name {user}'s home folder with --hp"),
        };
        let program = std::env::current_exe().context("finding maitred's own file")?;
        let path = std::env::var("PATH").unwrap_or_default();
        let text = unit(&user, &home, &program, &path, self.harden)?;
        let name = unit_name(self.service_name, &user);
        if !rustix::process::geteuid().is_root() {
            // As pm2: who may not do it is told what to have done.
            together::print(format!(
                "{}\n",
                line_for_root(&user, &home, &program, self.harden)
            ))?;
            together::say(manner, "to set this up, run the line above");
            return Ok(1);
        }
        let file = Path::new(UNITS).join(&name);
        fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
        systemctl(&["daemon-reload"])?;
        systemctl(&["enable", &name])?;
        together::say(
            manner,
            &format!(
                "{} is set up: what `maitred save` has noted comes back at the machine's start",
                file.display()
            ),
        );
        Ok(0)
    }
}

impl Unstartup {
    pub(super) fn execute(self, manner: &Manner) -> anyhow::Result<u8> {
        only_systemd(self.platform.as_deref())?;
        let user = self.user.unwrap_or_else(own_user);
        let name = unit_name(self.service_name, &user);
        if !rustix::process::geteuid().is_root() {
            together::print(format!("sudo maitred unstartup systemd -u {user}\n"))?;
            together::say(manner, "to undo it, run the line above");
            return Ok(1);
        }
        let file = Path::new(UNITS).join(&name);
        if !file.exists() {
            bail!("{} is not there: nothing was set up", file.display());
        }
        systemctl(&["disable", &name])?;
        fs::remove_file(&file).with_context(|| format!("removing {}", file.display()))?;
        systemctl(&["daemon-reload"])?;
        together::say(manner, &format!("{} is removed", file.display()));
        Ok(0)
    }
}

/// What somebody who may do it has to run.
fn line_for_root(user: &str, home: &Path, program: &Path, harden: bool) -> String {
    let harden = if harden { " --harden" } else { "" };
    let quoted = |path: &Path| format!("'{}'", path.display().to_string().replace('\'', r"'\''"));
    let program = quoted(program);
    // Only a home of the usual name can be told by the folder that it is in.
    match home.parent().filter(|_| home.ends_with(".maitred")) {
        Some(parent) => format!(
            "sudo env PATH=\"$PATH\" {program} startup systemd -u {user} --hp {}{harden}",
            quoted(parent)
        ),
        None => format!(
            "sudo env PATH=\"$PATH\" MAITRED_HOME={} {program} startup systemd -u {user}{harden}",
            quoted(home)
        ),
    }
}

fn unit_name(given: Option<String>, user: &str) -> String {
    let name = given.unwrap_or_else(|| format!("maitred-{user}"));
    format!("{}.service", name.trim_end_matches(".service"))
}

/// The unit, which brings the apps back and ends them with the machine.
///
/// It differs from pm2's, which watches one daemon (`Type=forking`, a pid file and `Restart=`):
/// here there is none, so the unit is active once the apps have been started. What must not happen
/// is that systemd ends all apps because of one of them. Hence the `-`: an app that does not come
/// up makes `resurrect` fail, and a start that fails is undone by ending every process of the
/// unit. And hence `OOMPolicy=continue`: a worker that the kernel kills for want of memory is
/// restarted by its supervisor. `Delegate=` makes the unit's control group over to us, so that the
/// kernel keeps each instance with a memory limit within a bound. `KillMode` stays what it is: what
/// `ExecStop` should have left is ended. No core dumps: the apps' secrets are in them.
///
/// What [`HARDENING`] takes is taken on request alone. It holds for the apps too, but only for those
/// that the unit has started: an app that needs sudo, a port below 1024 by a capability of its
/// file, or a socket in /tmp would run until the machine starts again, and not after that.
fn unit(
    user: &str,
    home: &Path,
    program: &Path,
    path: &str,
    harden: bool,
) -> anyhow::Result<String> {
    let quoted = |text: &str| -> anyhow::Result<String> {
        if text.contains(['\n', '\r', '\0']) {
            bail!("a line break in {}", text.escape_debug());
        }
        let text = text.replace('\\', "\\\\").replace('"', "\\\"");
        Ok(text.replace('%', "%%"))
    };
    if !user
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "._-$".contains(c))
    {
        bail!("{} is no user's name", user.escape_debug());
    }
    let home = quoted(&home.to_string_lossy())?;
    // However they are quoted, systemd takes none of these in a program's path.
    if program.to_string_lossy().contains(['"', '\'', '\\']) {
        bail!(
            "systemd runs no program whose path has quotes or a backslash in it: {}",
            program.display()
        );
    }
    let program = quoted(&program.to_string_lossy())?;
    let path = quoted(path)?;
    let hardening = if harden { HARDENING } else { "" };
    Ok(format!(
        "[Unit]\n\
         Description=maitred: the apps of {user}\n\
         After=network-online.target\n\
         Wants=network-online.target\n\
         RequiresMountsFor=\"{home}\"\n\
         \n\
         [Service]\n\
         Type=oneshot\n\
         RemainAfterExit=yes\n\
         User={user}\n\
         LimitNOFILE=infinity\n\
         LimitNPROC=infinity\n\
         LimitCORE=0\n\
         Environment=\"PATH={path}\"\n\
         Environment=\"MAITRED_HOME={home}\"\n\
         OOMPolicy=continue\n\
         Delegate=memory\n\
         {hardening}\
         ExecStart=-\"{program}\" resurrect\n\
         ExecReload=\"{program}\" reload all\n\
         ExecStop=\"{program}\" kill --delay\n\
         \n\
         [Install]\n\
         WantedBy=multi-user.target\n"
    ))
}

fn own_user() -> String {
    let named = ["USER", "LOGNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok());
    named.unwrap_or_else(|| config::user_name(None))
}

fn only_systemd(platform: Option<&str>) -> anyhow::Result<()> {
    match platform {
        Some("systemd") => Ok(()),
        Some(other) => bail!(
            "{} is not supported: only systemd is. Let your init system run `maitred resurrect` \
             at the machine's start, and `maitred kill` at its end",
            other.escape_debug()
        ),
        None if Path::new("/run/systemd/system").is_dir() => Ok(()),
        None => bail!(
            "this machine does not run systemd, the only init system that can be set up. Let \
             yours run `maitred resurrect` at the machine's start, and `maitred kill` at its end; \
             in a container, use `maitred run` instead"
        ),
    }
}

fn systemctl(arguments: &[&str]) -> anyhow::Result<()> {
    let status = Command::new("systemctl")
        .args(arguments)
        .status()
        .context("running systemctl")?;
    if !status.success() {
        bail!("systemctl {} failed ({status})", arguments.join(" "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of systemd's own mind, as far as it can be asked without being started.
    #[test]
    fn systemd_finds_nothing_wrong_with_the_unit() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("a $b %d");
        fs::copy("/bin/true", &program).unwrap();
        let home = folder.path().join("$home %h").join(".maitred");
        for harden in [false, true] {
            let text = unit("root", &home, &program, "/bin:/opt/$x %h/bin", harden).unwrap();
            assert_eq!(text.contains("NoNewPrivileges=yes"), harden);
            let file = folder.path().join("maitred-root.service");
            fs::write(&file, text).unwrap();
            let checked = Command::new("systemd-analyze")
                .args(["verify", "--man=no"])
                .arg(&file)
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&checked.stderr);
            // What it has to say of other units is not ours.
            let ours = said.lines().any(|line| line.contains("maitred-root"));
            assert!(checked.status.success() && !ours, "{said}");
        }
    }

    /// What `systemd-analyze security` makes of the unit: each thing that `--harden` promises is seen,
    /// and the unit is judged better for it.
    #[test]
    fn systemd_sees_what_harden_adds() {
        let exposure = |harden| {
            let folder = tempfile::tempdir().unwrap();
            let (home, file) = (Path::new("/root/.maitred"), "maitred-root.service");
            let text = unit("root", home, Path::new("/bin/true"), "/bin", harden).unwrap();
            fs::write(folder.path().join(file), text).unwrap();
            let checked = Command::new("systemd-analyze")
                .args(["security", "--offline=true", "--no-pager"])
                .arg(folder.path().join(file))
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&checked.stdout).into_owned();
            for field in [
                "NoNewPrivileges=",
                "PrivateTmp=",
                "UMask=",
                "ProtectSystem=",
            ] {
                let line = said.lines().find(|line| line.contains(field)).unwrap();
                // What is not as it could be is marked.
                let is_set = !line.starts_with('\u{2717}') && !line.starts_with('\u{2718}');
                assert!(is_set == harden || field == "ProtectSystem=", "{line}");
            }
            let overall = said.split("Overall exposure level").nth(1).unwrap();
            let mut numbers = overall.split_whitespace().filter_map(|it| it.parse().ok());
            let number: f64 = numbers.next().unwrap();
            println!("--harden {harden}: {number} of 10");
            number
        };
        assert!(exposure(true) < exposure(false));
    }

    #[test]
    fn who_may_not_do_it_is_told_the_whole_line() {
        let line =
            |home| line_for_root("me", Path::new(home), Path::new("/opt/it's/maitred"), false);
        assert_eq!(
            line("/home/me/.maitred"),
            r#"sudo env PATH="$PATH" '/opt/it'\''s/maitred' startup systemd -u me --hp '/home/me'"#
        );
        assert_eq!(
            line("/srv/apps"),
            r#"sudo env PATH="$PATH" MAITRED_HOME='/srv/apps' '/opt/it'\''s/maitred' startup systemd -u me"#
        );
    }

    #[test]
    fn nothing_breaks_out_of_the_unit() {
        let program = Path::new("/opt/a b/maitred");
        let text = unit("me", Path::new("/h%me"), program, "/bin:/x\"y", false).unwrap();
        assert!(text.contains("ExecStart=-\"/opt/a b/maitred\" resurrect"));
        assert!(text.contains("Environment=\"PATH=/bin:/x\\\"y\""));
        assert!(text.contains("MAITRED_HOME=/h%%me"));
        assert!(unit("me\nExecStart=/bin/sh", Path::new("/"), program, "", false).is_err());
        assert!(unit("me", Path::new("/a\nb"), program, "", false).is_err());
        assert!(unit("me", Path::new("/a"), Path::new("/it's"), "", false).is_err());
    }
}
