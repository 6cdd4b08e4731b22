//! The programs whose settings change.

/// Whatever it is sent, its loop stands still from then on.
pub(super) const HANGS: &str = "
require('http').createServer().listen('hang.sock', () => console.log('hello'));
process.stdin.on('data', () => { for (;;); });
";

/// Writes to both streams, does what it is sent, and says which signal it got.
pub(super) const JOB: &str = r#"
trap 'echo got INT; exit 0' INT
trap 'echo got TERM; exit 0' TERM
sleep 1000 & echo "child $!"
echo oops >&2
echo hello
while read -r line; do
    case $line in
        exit*) exit "${line#exit }" ;;
        fill) for _ in {1..100}; do echo 0123456789012345678901234567890123456789; done ;;
    esac
    echo "did $line"
done
sleep 1000
"#;

/// Ends by SIGKILL alone.
pub(super) const STUBBORN: &str = "trap '' INT; echo hello; while :; do sleep 1; done";

/// Speaks to its clients first, and is no HTTP.
pub(super) const SPEAKS_FIRST: &str = "require('net').createServer(client => client.write('x')).listen('drain.sock', () => console.log('hello'))";

/// Writes what it is sent over Node's channel, and ends by it.
pub(super) const NODE: &str = "
process.on('message', (message) => { console.log(message); if (message === 'shutdown') process.exit(); });
if (process.env.READY) process.send('ready');
console.log('hello');
setInterval(() => {}, 1e6);
";
