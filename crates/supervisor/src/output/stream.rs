//! One output stream, written by a thread of its own.

use std::io::{self, IsTerminal, Write};
use std::sync::mpsc as blocking;
use std::thread::JoinHandle;

use tokio::sync::mpsc;

/// How many pieces of output may wait to be written; then the workers wait.
const CHUNKS: usize = 16;

/// How many sentences may wait; more are dropped, for the supervisor does not wait.
const SENTENCES: usize = 256;

/// So much is written to a pipe in one piece, whatever others write to it (PIPE_BUF).
const IN_ONE_PIECE: usize = 4096;

/// How many of these bytes are written at once where others write too: as many whole lines as go in
/// one piece; a longer line alone.
fn few(bytes: &[u8]) -> usize {
    let piece = bytes.get(..IN_ONE_PIECE).unwrap_or(bytes);
    let ends = |byte: &u8| *byte == b'\n';
    match piece.iter().rposition(ends) {
        _ if piece.len() == bytes.len() => bytes.len(),
        Some(last) => last + 1,
        None => bytes
            .iter()
            .position(ends)
            .map_or(bytes.len(), |end| end + 1),
    }
}

/// A stream, from outside.
#[derive(Debug)]
pub(super) struct Stream {
    chunks: Option<mpsc::Sender<Vec<u8>>>,
    sentences: Option<blocking::SyncSender<String>>,
    thread: Option<JoinHandle<()>>,
    colours: bool,
}

/// Where whole lines go that may have to wait.
#[derive(Debug)]
pub(super) struct Chunks(Option<mpsc::Sender<Vec<u8>>>);

impl Chunks {
    pub(super) async fn send(&self, chunk: Vec<u8>) {
        if let Some(chunks) = &self.0 {
            // Without a writer there is nobody to show it to.
            let _ = chunks.send(chunk).await;
        }
    }
}

impl Stream {
    /// `shared` says that other processes write there too: then lines are written a few at a time,
    /// so that theirs do not come in between one.
    pub(super) fn new<W>(name: &str, mut to: W, shared: bool) -> io::Result<Self>
    where
        W: Write + IsTerminal + Send + 'static,
    {
        let colours = super::has_colours(&to);
        let (chunks, mut chunks_out) = mpsc::channel::<Vec<u8>>(CHUNKS);
        let (sentences, sentences_out) = blocking::sync_channel::<String>(SENTENCES);
        let write = move || {
            let mut open = true;
            let mut put = |bytes: &[u8]| {
                // Once nobody reads any more, what is written is dropped: the app goes on.
                let mut rest = bytes;
                while open && !rest.is_empty() {
                    let length = if shared { few(rest) } else { rest.len() };
                    let (now, later) = rest.split_at(length);
                    open = to.write_all(now).and_then(|()| to.flush()).is_ok();
                    rest = later;
                }
            };
            while let Some(chunk) = chunks_out.blocking_recv() {
                for sentence in sentences_out.try_iter() {
                    put(sentence.as_bytes());
                }
                put(&chunk);
            }
            for sentence in sentences_out.try_iter() {
                put(sentence.as_bytes());
            }
        };
        Ok(Self {
            chunks: Some(chunks),
            sentences: Some(sentences),
            thread: Some(std::thread::Builder::new().name(name.into()).spawn(write)?),
            colours,
        })
    }

    pub(super) fn colours(&self) -> bool {
        self.colours
    }

    pub(super) fn chunks(&self) -> Chunks {
        Chunks(self.chunks.clone())
    }

    /// Writes a sentence, before all lines that still wait. Does not wait itself.
    pub(super) fn say(&self, sentence: String) {
        if let (Some(sentences), Some(chunks)) = (&self.sentences, &self.chunks)
            && sentences.try_send(sentence).is_ok()
        {
            // Wakes the thread; if it has work already, it sees the sentence then.
            let _ = chunks.try_send(Vec::new());
        }
    }

    /// Waits until everything is written.
    pub(super) fn finish(&mut self) {
        self.chunks = None;
        self.sentences = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_written_in_whole_pieces() {
        assert_eq!(few(b"one\ntwo"), 7);
        let many = b"123456789\n".repeat(1000);
        assert_eq!(few(&many), 4090);
        let mut long = vec![b'x'; 10_000];
        assert_eq!(few(&long), 10_000);
        long.extend_from_slice(b"\nshort\n");
        assert_eq!(few(&long), 10_001);
        assert_eq!(few(b""), 0);
    }
}
