//! Apps whose folder was removed while they run, perhaps with all of the home: their supervisors are
//! found by their runtime folders, and write it again.

use home::control::{Connection, Fault, Request};
use home::runtime_folder;
use home::{AppFolder, Home};

/// Has the supervisors of this home whose folder is gone write it again.
pub(super) fn bring_back(home: &Home, tell: &mut dyn FnMut(String)) {
    for (runtime_folder, app) in runtime_folder::of_apps() {
        let app = AppFolder::new(app);
        let is_of_home = Home::of(&app).is_some_and(|other| other.path() == home.path());
        if !is_of_home || app.exists() && app.has_socket() {
            continue;
        }
        // One that was killed, or is about to end, listens no more.
        let Ok(socket) = AppFolder::new(runtime_folder).connect() else {
            continue;
        };
        let written = Connection::ask(socket, Request::Reappear).and_then(|it| it.finish(|_| {}));
        let path = app.path().display();
        match written {
            Ok(_) => tell(format!(
                "{path} was removed while the app runs; its supervisor has written it again. \
                 `maitred delete` ends an app and removes its folder"
            )),
            Err(Fault::Gone | Fault::Leaving(_)) => {}
            Err(fault) => tell(format!(
                "{path} was removed while the app runs, and it cannot be reached: {fault}"
            )),
        }
    }
}
