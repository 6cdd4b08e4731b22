//! Adding an app to a home.

use std::time::Duration;

use anyhow::bail;

use super::Known;
use config::App;
use home::{AppFolder, Claim, Home, Kept, Numbers, Record, Rest, now_ms};
use telemetry::ids::{Instance, InstanceId};

/// Another command that adds the same app is waited for so long.
const PATIENCE: Duration = Duration::from_millis(500);

/// An instance that is to be added.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    /// Its number, if it has had one that is free.
    id: Option<InstanceId>,
    rest: Rest,
    waits: bool,
}

/// Adds an app, and gives numbers to its instances. It runs as soon as the claim is used to start
/// its supervisor.
///
/// # Errors
/// If there is one of this name already, or the home cannot be written to.
pub(crate) fn add(home: &Home, app: App) -> anyhow::Result<(Known, Claim)> {
    let rest = if app.restart.autostart {
        Rest::Runs
    } else {
        Rest::Stopped
    };
    add_resting(home, app, rest)
}

/// The same, but stopped: it waits for others before it is started.
///
/// # Errors
/// As for [`add`].
pub(crate) fn add_stopped(home: &Home, app: App) -> anyhow::Result<Known> {
    let (known, _) = add_resting(home, app, Rest::Stopped)?;
    Ok(known)
}

fn add_resting(home: &Home, app: App, rest: Rest) -> anyhow::Result<(Known, Claim)> {
    let count = usize::try_from(app.instances).unwrap_or(1);
    let wanted = vec![
        Wanted {
            id: None,
            rest,
            waits: false
        };
        count
    ];
    let (folder, claim, mut numbers) = place(home, &app)?;
    add_to(folder, claim, &mut numbers, app, &wanted)
}

/// Adds an app as it was saved, with its numbers where they are free.
///
/// # Errors
/// As for [`add`].
pub(crate) fn add_again(home: &Home, saved: Record) -> anyhow::Result<(Known, Claim)> {
    let (folder, claim, mut numbers) = place(home, &saved.app)?;
    let taken: Vec<_> = super::all(home)?
        .iter()
        .flat_map(|known| known.record.instances.iter().map(|kept| kept.id))
        .collect();
    let wanted: Vec<_> = saved
        .instances
        .iter()
        .map(|kept| Wanted {
            id: Some(kept.id).filter(|id| !taken.contains(id)),
            rest: kept.rest,
            waits: kept.waits,
        })
        .collect();
    add_to(folder, claim, &mut numbers, saved.app, &wanted)
}

/// The folder of a new app, and the rights to use it and to give out numbers.
fn place(home: &Home, app: &App) -> anyhow::Result<(AppFolder, Claim, Numbers)> {
    let numbers = Numbers::lock(home)?;
    let folder = home.app(&app.namespace, &app.name);
    if folder.exists() {
        bail!("an app {} exists already", app.name);
    }
    let Some(claim) = folder.create(PATIENCE)? else {
        bail!("another command is adding {}", app.name);
    };
    Ok((folder, claim, numbers))
}

fn add_to(
    folder: AppFolder,
    claim: Claim,
    numbers: &mut Numbers,
    app: App,
    wanted: &[Wanted],
) -> anyhow::Result<(Known, Claim)> {
    let missing = wanted.iter().filter(|it| it.id.is_none()).count();
    let highest = wanted.iter().filter_map(|it| it.id).max();
    let fresh = numbers.take(u32::try_from(missing).unwrap_or(u32::MAX), highest)?;
    let mut fresh = fresh.into_iter();
    let instances = (0..)
        .map(Instance)
        .zip(wanted)
        .filter_map(|(instance, wanted)| {
            let id = wanted.id.or_else(|| fresh.next())?;
            Some(Kept {
                waits: wanted.waits,
                ..Kept::new(id, instance, wanted.rest)
            })
        });
    let record = Record {
        instances: instances.collect(),
        app,
        created_at: now_ms(),
    };
    claim.write(&record)?;
    Ok((Known { folder, record }, claim))
}
