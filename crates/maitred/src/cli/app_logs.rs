//! Which logs there are, by the apps of the home.

use super::together;
use crate::home::Home;
use crate::logs::Stream;
use crate::logs::view::{Catalog, Entry};

/// The logs of those apps that a target means.
#[derive(Debug)]
pub(super) struct AppLogs {
    home: Home,
    target: [String; 1],
}

impl AppLogs {
    /// # Errors
    /// If the target means nothing.
    pub(super) fn of(target: &str) -> anyhow::Result<Self> {
        let home = Home::find()?;
        let target = [target.to_owned()];
        together::selected(&home, &target)?;
        Ok(Self { home, target })
    }
}

impl Catalog for AppLogs {
    fn entries(&mut self) -> anyhow::Result<Vec<Entry>> {
        // An app that is gone in the meantime has no logs any more.
        let selected = together::selected(&self.home, &self.target).unwrap_or_default();
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
                            id,
                            stream,
                            path,
                        });
                    }
                }
            }
        }
        Ok(entries)
    }
}
