//! Config files that are programs, evaluated by Bun and by Node.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::harness::{LIMIT, Place, at};

const EACH: [&str; 2] = ["bun", "node"];

#[test]
fn each_way_to_export() {
    for (name, text) in [
        (
            "a.config.js",
            "module.exports = { apps: [{ script: 'app.sh', name: 'it' }] }",
        ),
        (
            "a.config.js",
            "exports.apps = [{ script: 'app.sh', name: 'it' }]",
        ),
        (
            "a.config.cjs",
            "module.exports = [{ script: 'app.sh', name: 'it' }]",
        ),
        (
            "a.config.cjs",
            "module.exports = () => ({ script: 'app.sh', name: 'it' })",
        ),
        (
            "a.config.cjs",
            "exports.__esModule = true; exports.default = { script: 'app.sh', name: 'it' }",
        ),
        (
            "a.config.mjs",
            "export default { apps: [{ script: 'app.sh', name: 'it' }] }",
        ),
        (
            "a.config.mjs",
            "export const apps = [{ script: 'app.sh', name: 'it' }]",
        ),
        (
            "a.config.mjs",
            "export default async () => ({ script: 'app.sh', name: 'it' })",
        ),
        (
            "a.config.mjs",
            "const it = await Promise.resolve('it'); export default { script: 'app.sh', name: it }",
        ),
        (
            "a.config.cjs",
            "module.exports = { script: require('./sub/name').script, name: 'it' }",
        ),
    ] {
        for runtime in EACH {
            let place = Place::new()
                .runtimes(&[runtime])
                .file("sub/name.js", "exports.script = 'app.sh'")
                .file(name, text);
            let app = place.app(&[name]);
            assert_eq!(*at(&app, "name"), "it", "{runtime} {name} {text}");
        }
    }
}

#[test]
fn typescript_with_bun() {
    let text = "interface App { script: string, name: string }\n\
                const apps: App[] = [{ script: 'app.sh', name: 'it' }];\n\
                export default { apps } satisfies { apps: App[] };\n";
    let place = Place::new().file("a.config.ts", text);
    let app = place.runtimes(&["bun", "node"]).app(&["a.config.ts"]);
    assert_eq!(*at(&app, "name"), "it");
}

#[test]
fn without_a_runtime_it_is_said_what_is_missing() {
    let place = Place::new()
        .runtimes(&[])
        .file("a.config.js", "")
        .file("a.config.ts", "");
    assert!(place.wrong(&["a.config.js"]).contains("bun or node"));
    assert!(place.wrong(&["a.config.ts"]).contains("strips types"));
}

#[test]
fn what_json_cannot_hold() {
    for runtime in EACH {
        let text =
            "module.exports = { script: 'app.sh', watch: true, ignore_watch: [/a\\/b/i, 'c'],
            env: { BIG: 10n, GONE: undefined }, max_restarts: 3n, port: undefined }";
        let place = Place::new().runtimes(&[runtime]).file("a.config.js", text);
        let app = place.app(&["a.config.js"]);
        assert_eq!(*at(&app, "ignore_watch"), json!(["regex:a\\/b", "c"]));
        assert_eq!(*at(&app, "env"), json!({"BIG": "10"}));
        assert_eq!(*at(&app, "max_restarts"), 3);
        for (value, expected) in [
            ("name: () => 1", "a text, not a function"),
            ("name: Symbol('x')", "a text, not a symbol"),
            ("max_restarts: NaN", "a whole number, not NaN"),
            ("max_restarts: Infinity", "a whole number, not Infinity"),
            ("env: { A: () => 1 }", "an object of names and values"),
        ] {
            let text = format!("module.exports = {{ script: 'app.sh', {value} }}");
            let place = Place::new().runtimes(&[runtime]).file("a.config.js", &text);
            let error = place.wrong(&["a.config.js"]);
            assert!(error.contains(expected), "{runtime} {value}: {error}");
        }
    }
}

#[test]
fn what_it_prints_does_not_disturb_the_result() {
    for runtime in EACH {
        let text = "console.log('{\"apps\":', '\\x1b[2Jhello'); console.error('problem');
            process.stdout.write('[]');
            module.exports = { script: 'app.sh', args: ['x'.repeat(300000)] }";
        let place = Place::new().runtimes(&[runtime]).file("a.config.js", text);
        let (apps, errors) = place.apps(&["a.config.js"]);
        assert_eq!(
            at(&apps[0], "args.0".split('.').next().unwrap())[0]
                .as_str()
                .unwrap()
                .len(),
            300_000
        );
        assert!(
            errors.contains("hello") && errors.contains("problem"),
            "{errors}"
        );
        assert!(!errors.contains('\u{1b}'), "{errors:?}");
    }
}

#[test]
fn errors_are_shown_with_file_and_line() {
    for runtime in EACH {
        for (name, text, message) in [
            ("a.config.js", "\n\nconst a = ;", ";"),
            ("a.config.js", "\n\nthrow new Error('boom')", "boom"),
            (
                "a.config.js",
                "\n\nmodule.exports = nothing.there",
                "nothing",
            ),
            (
                "a.config.mjs",
                "\n\nexport default await Promise.reject(new Error('late'))",
                "late",
            ),
            ("a.config.mjs", "\n\nimport './gone.mjs'", "gone.mjs"),
            (
                "a.config.js",
                "\n\nrequire('no-such-package')",
                "no-such-package",
            ),
        ] {
            let place = Place::new().runtimes(&[runtime]).file(name, text);
            let error = place.wrong(&[name]);
            assert!(
                error.contains(&format!("evaluating {name} with {runtime}")),
                "{error}"
            );
            assert!(error.contains(message), "{runtime} {text}: {error}");
            let line = error.contains(&format!("{name}:3"));
            // Of what cannot be found, they name the file alone that asks for it.
            let unfound = text.contains("gone.mjs") || text.contains("no-such");
            assert!(line || unfound, "{runtime} {text}: {error}");
            assert!(
                !error.contains("node:internal"),
                "{runtime} {text}: {error}"
            );
        }
        for (text, expected) in [
            ("process.exit(3)", "it exited with code 3 and said nothing"),
            ("process.exit(0)", "process.exit"),
            (
                "const a = {}; a.a = a; module.exports = a",
                "written as json",
            ),
            (
                "process.kill(process.pid, 'SIGKILL')",
                "it was killed by a signal",
            ),
            ("module.exports = 'x'.repeat(5 << 20)", "larger than 4 mb"),
            ("module.exports = undefined", "no apps"),
        ] {
            let place = Place::new().runtimes(&[runtime]).file("a.config.js", text);
            let error = place.wrong(&["a.config.js"]);
            assert!(
                error.to_lowercase().contains(expected),
                "{runtime} {text}: {error}"
            );
        }
    }
}

#[test]
fn it_sees_the_environment_and_the_chosen_set() {
    for runtime in EACH {
        let text =
            "module.exports = (env) => ({ script: 'app.sh', name: process.env.NAME + '-' + env,
            args: Object.keys(process.env).filter((name) => name.startsWith('MAITRED')),
            env_test: {} })";
        let place = Place::new().runtimes(&[runtime]).file("a.config.js", text);
        let app = place
            .env("NAME", "it")
            .app(&["a.config.js", "--env", "test"]);
        assert_eq!(*at(&app, "name"), "it-test");
        assert_eq!(*at(&app, "args"), json!([]));
    }
}

/// What a config runs holds the write end of a named pipe: when that ends, all of it has ended.
#[test]
fn it_ends_with_its_command_however_that_ends() {
    let text = "
        const fd = require('fs').openSync('held', 'w');
        require('child_process').spawn('sleep', ['1000'], { stdio: ['ignore', fd, fd] });
        require('fs').writeSync(fd, 'x');
        while (true) {}";
    for runtime in EACH {
        for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::KILL] {
            let place = Place::new()
                .runtimes(&[runtime, "sleep"])
                .file("a.config.cjs", text);
            rustix::fs::mkfifoat(rustix::fs::CWD, place.path("held"), 0o600.into()).unwrap();
            let mut held = File::options()
                .read(true)
                .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
                .open(place.path("held"))
                .unwrap();
            let command = place.start(&["check", "a.config.cjs"]);
            let mut chunk = [0; 8];
            assert_eq!(next(&mut held, &mut chunk), 1, "{runtime}");
            kill_process(Pid::from_child(&command.child), signal).unwrap();
            assert_eq!(next(&mut held, &mut chunk), 0, "{runtime} {signal:?}");
        }
    }
}

/// Reads once there is something, or everybody has let go of it.
fn next(pipe: &mut File, chunk: &mut [u8]) -> usize {
    let timeout = Timespec::try_from(LIMIT).unwrap();
    let ready = poll(&mut [PollFd::new(pipe, PollFlags::IN)], Some(&timeout)).unwrap();
    assert_ne!(ready, 0, "it takes longer than {LIMIT:?}");
    pipe.read(chunk).unwrap()
}

/// A script has one path, however it is written; a link on the way is followed as the system does.
#[test]
fn the_path_of_a_script_has_no_detours() {
    let place = Place::new()
        .file("sub/deep/run.sh", "true\n")
        .file("elsewhere/run.sh", "true\n");
    std::os::unix::fs::symlink(place.path("sub/deep"), place.path("link")).unwrap();
    for (written, meant) in [
        ("./app.sh", "app.sh"),
        ("././/app.sh", "app.sh"),
        ("sub/../app.sh", "app.sh"),
        ("sub/./deep/run.sh", "sub/deep/run.sh"),
        ("link/run.sh", "link/run.sh"),
        ("link/../deep/run.sh", "link/../deep/run.sh"),
    ] {
        let app = place.app(&[written]);
        let expected = place.path("").join(meant);
        assert_eq!(*at(&app, "script"), expected.to_str().unwrap(), "{written}");
    }
}
