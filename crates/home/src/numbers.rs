//! The numbers of instances (pm2's `pm_id`), each given out once.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;

use anyhow::Context;
use rustix::fs::{FlockOperation, OFlags, flock};

use super::Home;
use telemetry::ids::InstanceId;

/// The right to give out numbers, and to add an app. There is one at a time, for all of a home.
#[derive(Debug)]
pub struct Numbers {
    file: File,
    next: InstanceId,
}

impl Numbers {
    /// Waits until nobody else gives out numbers. They begin at 0 again when there are no apps.
    ///
    /// # Errors
    /// If the home cannot be written to.
    pub fn lock(home: &Home) -> anyhow::Result<Self> {
        home.create()?;
        let path = home.path().join("lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(&path)
            .with_context(|| format!("opening {}", path.display()))?;
        flock(&file, FlockOperation::LockExclusive)
            .with_context(|| format!("locking {}", path.display()))?;
        home.clear_removed();
        let mut text = String::new();
        // Whatever is not a number is a file that was cut off: the records tell the rest.
        let _ = (&mut file).take(32).read_to_string(&mut text);
        let said = InstanceId(text.trim().parse().unwrap_or(0));
        let records = home.apps()?.into_iter().filter_map(|app| app.record().ok());
        let highest = records
            .flat_map(|record| record.instances)
            .map(|kept| kept.id.next())
            .max();
        Ok(Self {
            file,
            next: highest.map_or(InstanceId(0), |after| after.max(said)),
        })
    }

    /// The next `count` numbers, above `highest` if that is taken too.
    ///
    /// # Errors
    /// If what was given out cannot be noted.
    pub fn take(
        &mut self,
        count: u32,
        highest: Option<InstanceId>,
    ) -> anyhow::Result<Vec<InstanceId>> {
        let above = highest.map_or(InstanceId(0), InstanceId::next);
        let first = self.next.max(above);
        let after = first
            .0
            .checked_add(count)
            .context("there are no numbers left for instances")?;
        let mut note = || -> std::io::Result<()> {
            self.file.set_len(0)?;
            self.file.seek(SeekFrom::Start(0))?;
            self.file.write_all(after.to_string().as_bytes())
        };
        note().context("noting which numbers are taken")?;
        self.next = InstanceId(after);
        Ok((first.0..after).map(InstanceId).collect())
    }
}
