//! What a maitred under test prints.

use std::io::Read;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Instant;

/// What comes out of a pipe, gathered by a thread of its own.
pub(super) struct Output {
    state: Arc<(Mutex<Gathered>, Condvar)>,
}

#[derive(Default)]
struct Gathered {
    bytes: Vec<u8>,
    closed: bool,
}

impl Output {
    pub(super) fn capture(mut pipe: impl Read + Send + 'static) -> Output {
        let state = Arc::new((Mutex::new(Gathered::default()), Condvar::new()));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            let mut buffer = vec![0; 64 << 10];
            loop {
                let length = pipe.read(&mut buffer).unwrap_or(0);
                let (gathered, news) = &*shared;
                let mut gathered = gathered.lock().unwrap();
                gathered.bytes.extend_from_slice(&buffer[..length]);
                gathered.closed |= length == 0;
                news.notify_all();
                if gathered.closed {
                    return;
                }
            }
        });
        Output { state }
    }

    pub(super) fn wait(&self, deadline: Instant, enough: impl Fn(&str) -> bool) -> Option<String> {
        let (gathered, news) = &*self.state;
        let mut gathered = gathered.lock().unwrap();
        loop {
            let text = String::from_utf8_lossy(&gathered.bytes);
            if enough(&text) {
                return Some(text.into_owned());
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            if gathered.closed {
                return None;
            }
            gathered = news.wait_timeout(gathered, left).unwrap().0;
        }
    }

    pub(super) fn whole(&self, deadline: Instant) -> Option<Vec<u8>> {
        let (gathered, news) = &*self.state;
        let mut gathered = gathered.lock().unwrap();
        while !gathered.closed {
            let left = deadline.checked_duration_since(Instant::now())?;
            gathered = news.wait_timeout(gathered, left).unwrap().0;
        }
        Some(gathered.bytes.clone())
    }

    pub(super) fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.state.0.lock().unwrap().bytes).into_owned()
    }
}
