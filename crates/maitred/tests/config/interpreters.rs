//! Which runtime runs a script, and what `check` says of the choice.

use crate::harness::{Place, at};

const ALL: &[&str] = &["bun", "deno", "node"];

/// A script, the files beside and above it, the runtimes that are installed, and what follows: who
/// runs it, why, and what it is warned of.
struct Case {
    script: &'static str,
    files: &'static [&'static str],
    runtimes: &'static [&'static str],
    runs: &'static str,
    reason: &'static str,
    warning: &'static str,
}

#[test]
fn a_project_tells_the_runtime_of_its_typescript() {
    let order = "the first in PATH of bun, deno, node, which run .ts files";
    let case = |files, runtimes, runs, reason, warning| Case {
        script: "api/server.ts",
        files,
        runtimes,
        runs,
        reason,
        warning,
    };
    let cases = [
        case(&[], ALL, "bun", order, ""),
        case(&[], &["deno", "node"], "deno", order, ""),
        case(&["deno.json"], ALL, "deno", "found PLACE/deno.json", ""),
        case(
            &["api/deno.lock", "bun.lock"],
            ALL,
            "deno",
            "found PLACE/api/deno.lock",
            "",
        ),
        case(
            &["api/bunfig.toml", "deno.jsonc"],
            ALL,
            "bun",
            "found PLACE/api/bunfig.toml",
            "",
        ),
        case(
            &["api/bun.lockb", "api/deno.json"],
            ALL,
            "bun",
            "found PLACE/api/bun.lockb",
            "",
        ),
        case(
            &["deno.json"],
            &["bun"],
            "bun",
            order,
            "bun runs api/server.ts, though PLACE/deno.json is a file of deno: deno is not in PATH; \
             install it, or name bun with --interpreter",
        ),
        Case {
            script: "api/server.mts",
            ..case(&["deno.json"], ALL, "deno", "found PLACE/deno.json", "")
        },
        // JavaScript is Node's, in a project of Bun too.
        Case {
            script: "api/server.js",
            ..case(
                &["bun.lock"],
                ALL,
                "node",
                "the first in PATH of node, bun, which run .js files",
                "",
            )
        },
        Case {
            script: "app.sh",
            ..case(&["bun.lock"], ALL, "bash", "runs .sh files", "")
        },
    ];
    for Case {
        script,
        files,
        runtimes,
        runs,
        reason,
        warning,
    } in cases
    {
        let mut place = Place::new().runtimes(runtimes);
        for file in [script].iter().chain(files) {
            place = place.file(file, "");
        }
        let folder = place.path("");
        let folder = folder.to_str().unwrap().trim_end_matches('/');
        let (apps, warnings) = place.apps(&[script]);
        let interpreter = at(&apps[0], "interpreter").as_str().unwrap();
        let shown = format!("{script} {files:?} {runtimes:?}");
        assert!(
            interpreter.ends_with(&format!("/{runs}")),
            "{shown}: {interpreter}"
        );
        assert_eq!(
            *at(&apps[0], "interpreter_reason"),
            *reason.replace("PLACE", folder),
            "{shown}"
        );
        let warning = warning.replace("PLACE", folder);
        assert_eq!(
            warnings.is_empty(),
            warning.is_empty(),
            "{shown}: {warnings}"
        );
        assert!(warnings.contains(&warning), "{shown}: {warnings}");
    }
}

#[test]
fn the_reason_of_every_other_choice() {
    let place = Place::new()
        .runtimes(&["node", "deno"])
        .file("www", "")
        .file("with-line", "#!/usr/bin/env -S deno run\n")
        .file("program", "#!/bin/sh\n")
        .file("server.ts", "")
        .file("bun.lock", "");
    place.executable("program");
    for (args, reason) in [
        (&["www"][..], "runs scripts whose name has no extension"),
        (&["with-line"], "named by the script's first line"),
        (&["program"], "executable"),
        (&["sh"], "a program in PATH"),
        (&["echo hello"], "a shell runs command lines"),
        // The user's word counts more than the project's files.
        (
            &["server.ts", "--interpreter", "deno"],
            "named by interpreter",
        ),
    ] {
        let app = place.app(args);
        assert_eq!(*at(&app, "interpreter_reason"), reason, "{args:?}");
    }
}
