//! Whose rights an app has: users and groups by name or number.

use anyhow::{Context, bail};
use nix::unistd::{Gid, Group, Uid, User, getgrouplist};

use super::app::Identity;
use super::kind::Account;
use super::words::told;

/// The rights that were asked for, with the user's name and home folder.
#[derive(Debug)]
pub(super) struct Rights {
    pub(super) identity: Identity,
    /// The user's name and home folder, where the system knows the user.
    pub(super) user: Option<(String, std::path::PathBuf)>,
}

/// The name of a user, by default of this one, or the number where the system knows no name.
pub fn user_name(uid: Option<u32>) -> String {
    let uid = uid.map_or_else(Uid::effective, Uid::from_raw);
    let user = User::from_uid(uid).ok().flatten();
    user.map_or_else(|| uid.to_string(), |user| user.name)
}

/// Looks up a user and a group. Only root may take on another's rights.
///
/// # Errors
/// If there is no such user or group, or if this user may not.
pub(super) fn rights(
    uid: Option<&Account>,
    gid: Option<&Account>,
) -> anyhow::Result<Option<Rights>> {
    if uid.is_none() && gid.is_none() {
        return Ok(None);
    }
    let own = Uid::effective();
    let user = match uid {
        Some(Account::Name(name)) => {
            let Some(user) =
                User::from_name(name).with_context(|| format!("looking up {}", told(name)))?
            else {
                bail!("there is no user \"{}\"", told(name));
            };
            Some(user)
        }
        Some(Account::Id(id)) => User::from_uid(Uid::from_raw(*id)).context("looking up a user")?,
        None => User::from_uid(own).context("looking up this user")?,
    };
    let uid = match (uid, &user) {
        (Some(Account::Id(id)), _) => Uid::from_raw(*id),
        (_, Some(user)) => user.uid,
        (_, None) => own,
    };
    let gid = match (gid, &user) {
        (Some(Account::Id(id)), _) => Gid::from_raw(*id),
        (Some(Account::Name(name)), _) => {
            let group =
                Group::from_name(name).with_context(|| format!("looking up {}", told(name)))?;
            let Some(group) = group else {
                bail!("there is no group \"{}\"", told(name));
            };
            group.gid
        }
        (None, Some(user)) => user.gid,
        (None, None) => {
            bail!("the system does not know user {uid}, and so not its group; name one with gid")
        }
    };
    if !own.is_root() && (uid != own || gid != Gid::effective()) {
        bail!("only root can run an app with another's rights (uid, gid)");
    }
    let groups = match &user {
        Some(user) => {
            let name = std::ffi::CString::new(user.name.as_str()).context("the user's name")?;
            getgrouplist(&name, gid).context("looking up the user's groups")?
        }
        None => vec![gid],
    };
    Ok(Some(Rights {
        identity: Identity {
            uid: uid.as_raw(),
            gid: gid.as_raw(),
            groups: groups.into_iter().map(Gid::as_raw).collect(),
        },
        user: user.map(|user| (user.name, user.dir)),
    }))
}
