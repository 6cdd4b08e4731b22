//! Which field a name means, in whichever spelling, and what to say of those that mean none.

use std::collections::BTreeSet;

use super::field::Field;
use super::fields::FIELDS;

const HEALTH: &str = "health is not asked for over HTTP; what ends, or does not listen in time, is \
                      restarted";

/// Fields that pm2 or bm2 know and that do nothing here, with the reason.
pub(crate) const IGNORED: &[(&str, &str)] = &[
    ("vizion", "versions are not looked up in repositories"),
    ("pmx", "there is no Keymetrics here"),
    ("automation", "there is no Keymetrics here"),
    ("trace", "there is no tracing here"),
    ("disable_trace", "there is no tracing here"),
    ("deep_monitoring", "there is no Keymetrics here"),
    ("event_loop_inspector", "there is no Keymetrics here"),
    ("v8", "there is no Keymetrics here"),
    ("io", "there is no Keymetrics here"),
    ("post_update", "there is no Keymetrics here"),
    ("install_url", "there are no modules here"),
    ("username", "it follows from the process"),
    ("windows_hide", "there is no Windows here"),
    ("kill_retry_time", "the end of a process is not polled for"),
    ("name_prefix", "pm2 does not use it either"),
    ("write", "it is a flag of pm2's alone"),
    (
        "reuse_port",
        "the instances of a cluster share their port in any case",
    ),
    ("cluster_mode", "exec_mode says it"),
    ("watch_paths", "watch takes the paths"),
    ("graceful_listen_timeout", "listen_timeout says it"),
    ("health_check_url", HEALTH),
    ("health_check_interval", HEALTH),
    ("health_check_timeout", HEALTH),
    ("health_check_max_fails", HEALTH),
    ("raw", "`maitred run` shows what apps write"),
    ("no_daemon", "`maitred run` stays in the foreground"),
    ("deploy_config", "deploying belongs to git and ssh"),
    ("versioning_config", "versions belong to git"),
];

/// The field of this name, in whichever spelling.
pub(crate) fn field(name: &str) -> Option<&'static Field> {
    let name = plain_name(name);
    FIELDS.iter().find(|field| {
        plain_name(field.name) == name || field.aliases.iter().any(|it| plain_name(it) == name)
    })
}

/// Why a field of this name does nothing here, if it is known.
pub(crate) fn ignored(name: &str) -> Option<&'static str> {
    let name = plain_name(name);
    let mut all = IGNORED.iter();
    all.find(|(ignored, _)| plain_name(ignored) == name)
        .map(|(_, reason)| *reason)
}

/// The name that is nearest to this one, if it can have been meant.
pub(crate) fn nearest(name: &str) -> Option<&'static str> {
    let name = plain_name(name);
    let names = FIELDS.iter().flat_map(|field| {
        [field.name]
            .into_iter()
            .chain(field.aliases.iter().copied())
    });
    names
        .map(|known| (strsim::jaro_winkler(&plain_name(known), &name), known))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, known)| known)
}

/// The ways to write a name: `max_memory_restart`, `maxMemoryRestart` and `max-memory-restart`.
pub(super) fn spellings(name: &str) -> BTreeSet<String> {
    let mut camel = String::new();
    let mut upper = false;
    for c in name.chars() {
        match c {
            '_' => upper = true,
            c if std::mem::take(&mut upper) => camel.push(c.to_ascii_uppercase()),
            c => camel.push(c),
        }
    }
    BTreeSet::from([name.to_owned(), name.replace('_', "-"), camel])
}

/// The same for `max_memory_restart`, `maxMemoryRestart` and `max-memory-restart`.
fn plain_name(name: &str) -> String {
    name.chars()
        .filter(|c| !matches!(c, '_' | '-'))
        .map(|c| c.to_ascii_lowercase())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_fields_share_a_name_or_a_flag() {
        let mut names = BTreeSet::new();
        let mut flags = BTreeSet::new();
        for known in FIELDS {
            for name in [known.name].iter().chain(known.aliases) {
                assert!(names.insert(plain_name(name)), "{name}");
                assert!(ignored(name).is_none(), "{name}");
                for spelling in spellings(name) {
                    assert_eq!(field(&spelling).map(|it| it.name), Some(known.name));
                }
            }
            for flag in known.flags {
                for long in [flag.long].iter().chain(flag.aliases) {
                    assert!(flags.insert((*long).to_owned()), "{long}");
                }
                if let Some(short) = flag.short {
                    assert!(flags.insert(short.to_string()), "{short}");
                }
            }
        }
    }

    #[test]
    fn names_in_any_spelling() {
        for (name, expected) in [
            ("max_memory_restart", "max_memory_restart"),
            ("maxMemoryRestart", "max_memory_restart"),
            ("max-memory-restart", "max_memory_restart"),
            ("execMode", "exec_mode"),
            ("exec", "script"),
            ("nodeArgs", "interpreter_args"),
            ("exec_interpreter", "interpreter"),
            ("err", "error_file"),
            ("combine_logs", "merge_logs"),
            ("user", "uid"),
        ] {
            assert_eq!(
                field(name).map(|field| field.name),
                Some(expected),
                "{name}"
            );
        }
        assert!(field("max_memory_restarts").is_none());
        assert_eq!(nearest("max_memory_restarts"), Some("max_memory_restart"));
        assert_eq!(nearest("instance"), Some("instances"));
        assert_eq!(nearest("scirpt"), Some("script"));
        assert_eq!(nearest("xyzzy"), None);
        assert!(ignored("windowsHide").is_some());
    }

    /// What bm2 takes in a file, and what it keeps of an app.
    #[test]
    fn every_field_of_bm2_is_known() {
        const FIELDS_OF_BM2: &str = "name script args cwd env instances execMode autorestart \
            maxRestarts minUptime maxMemoryRestart watch watchPaths ignoreWatch cron cronRestart \
            interpreter interpreterArgs mergeLogs logDateFormat errorFile outFile pidFile \
            killTimeout restartDelay listenTimeout shutdownWithMessage treekill port clusterMode \
            reusePort healthCheckUrl healthCheckInterval healthCheckTimeout healthCheckMaxFails \
            logMaxSize logRetain logCompress gracefulListenTimeout waitReady deployConfig \
            sourceMapSupport nodeArgs namespace versioningConfig noDaemon raw";
        for name in FIELDS_OF_BM2.split_whitespace() {
            assert!(field(name).is_some() || ignored(name).is_some(), "{name}");
        }
    }

    /// What pm2 7 takes in a file; those in two words also in camelCase.
    #[test]
    fn every_field_of_pm2_is_known() {
        const FIELDS_OF_PM2: &str = "script exec name name_prefix filter_env namespace install_url \
            cwd args exec_interpreter interpreter node_args interpreterArgs interpreter_args \
            out_file out output out_log error_file error err err_file err_log log_file log \
            disable_logs log_type log_date_format time env max_memory_restart pid_file pid \
            restart_delay exp_backoff_restart_delay source_map_support wait_ready instances \
            kill_timeout shutdown_with_message listen_timeout cron_restart cron merge_logs \
            combine_logs vizion autostart autorestart stop_exit_codes watch_delay watch \
            ignore_watch watch_options min_uptime max_restarts exec_mode force \
            append_env_to_name post_update trace disable_trace v8 event_loop_inspector \
            deep_monitoring increment_var instance_var pmx automation treekill port username uid \
            user gid windowsHide kill_retry_time write io cmd command";
        for name in FIELDS_OF_PM2.split_whitespace() {
            assert!(field(name).is_some() || ignored(name).is_some(), "{name}");
        }
    }
}
