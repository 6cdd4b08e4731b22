//! Which logs there are, by the apps of the home.

use super::together;
use crate::apps::{Known, Selected};
use home::{AppFolder, Home};
use logs::Stream;
pub(super) use logs::view::{Catalog, Entry, Voice};
use safe_files::Rights;

/// The logs of those apps that the targets mean, or of one app.
#[derive(Debug)]
pub(super) struct AppLogs {
    home: Home,
    which: Which,
}

#[derive(Debug)]
enum Which {
    Targets(Vec<String>),
    One(AppFolder),
}

impl AppLogs {
    /// # Errors
    /// If a target means nothing.
    pub(super) fn of(targets: &[String]) -> anyhow::Result<Self> {
        let home = Home::find()?;
        together::selected(&home, targets)?;
        Ok(Self {
            home,
            which: Which::Targets(targets.to_vec()),
        })
    }

    /// Those of the app in a folder, whatever it is called.
    pub(super) fn of_one(home: Home, folder: AppFolder) -> Self {
        let which = Which::One(folder);
        Self { home, which }
    }

    fn selected(&self) -> anyhow::Result<Vec<Selected>> {
        match &self.which {
            Which::Targets(targets) => together::selected(&self.home, targets),
            Which::One(folder) => {
                let folder = folder.clone();
                let record = folder.record()?;
                let known = Known { folder, record };
                Ok(vec![Selected { known, ids: None }])
            }
        }
    }
}

impl Catalog for AppLogs {
    fn entries(&mut self) -> anyhow::Result<Vec<Entry>> {
        // An app that is gone in the meantime has no logs any more.
        let selected = self.selected().unwrap_or_default();
        let mut entries: Vec<Entry> = Vec::new();
        for selected in selected {
            let app = &selected.known.record.app;
            for id in selected.ids() {
                let files = self.home.log_files(app, id);
                for (stream, path) in [(Stream::Out, files.out), (Stream::Err, files.err)] {
                    // Merged logs are those of several instances.
                    if let Some(path) = path
                        && entries.iter().all(|entry| entry.path != path)
                    {
                        entries.push(Entry {
                            app: app.name.clone(),
                            voice: Voice::Worker { id, stream },
                            path,
                            rights: app.file_rights(),
                        });
                    }
                }
            }
            entries.push(Entry {
                app: app.name.clone(),
                voice: Voice::Supervisor,
                path: selected.known.folder.log(),
                rights: Rights::default(),
            });
        }
        Ok(entries)
    }
}
