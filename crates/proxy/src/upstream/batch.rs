//! Heads of requests that go to workers together, at the end of a turn: who is sent several is
//! woken once for them, and we are interrupted once by each. That is a fifth of what a request
//! costs where there are many.

use std::io::ErrorKind;
use std::os::fd::BorrowedFd;

use balance::MemberId;

use crate::downstream::client::{Exchange, Phase, Stage};
use crate::slab::Key;
use crate::{Proxy, Workers};

/// So many go at the latest together, so that the first does not wait long for the last.
pub(crate) const TOGETHER: u32 = 64;

/// Buffers of heads are kept for further ones, unless they have grown so large.
const LARGE: usize = 4096;

/// The whole of a request that goes to a worker over a pair that was idle.
#[derive(Debug)]
pub(crate) struct Post {
    pub(crate) client: Key,
    pub(crate) member: MemberId,
    pub(crate) pair: Key,
    pub(crate) head: Vec<u8>,
}

impl Proxy {
    /// Sends what is to be sent. To be called at the end of each turn.
    pub fn post<W: Workers>(&mut self, workers: &mut W) {
        while !self.posts.is_empty() {
            let mut posts = std::mem::take(&mut self.posts);
            // A client that has gone since has taken its pair with it.
            posts.retain(|post| self.pairs.get(post.pair).is_some());
            self.send_together(&posts);
            let mut taken = std::mem::take(&mut self.taken);
            for (post, taken) in posts.drain(..).zip(taken.drain(..)) {
                let taken = match taken {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
                    taken => taken,
                };
                match taken {
                    Ok(len) => self.posted(post, len),
                    // The worker has left the pair, and nobody has read the request.
                    Err(error) if error.raw_os_error().is_some() => self.post_anew(post, workers),
                    Err(_) => {
                        self.pairs.remove(post.pair);
                        self.again.push_back(post.client);
                    }
                }
            }
            self.taken = taken;
            if self.posts.is_empty() {
                self.posts = posts;
            }
        }
    }

    /// Whether enough has come together.
    pub(crate) fn has_enough_to_post(&self) -> bool {
        self.posts.len() >= TOGETHER as usize
    }

    fn send_together(&mut self, posts: &[Post]) {
        let runs = posts.iter().filter_map(|post| {
            let descriptor = self.pairs.get(post.pair)?.link.descriptor()?;
            Some((descriptor, post.head.as_slice()))
        });
        let runs: Vec<(BorrowedFd<'_>, &[u8])> = runs.collect();
        self.batch.write(&runs, &mut self.taken);
    }

    /// The kernel has taken so much of it.
    fn posted(&mut self, post: Post, len: usize) {
        if let Some(pair) = self.pairs.get_mut(post.pair) {
            pair.is_asked = true;
            let rest = post.head.get(len..).unwrap_or(&[]);
            pair.link.send_later(rest, &self.epoll);
        }
        self.keep_head(post.client, post.head);
    }

    /// Sends it over another pair, or to another worker.
    fn post_anew<W: Workers>(&mut self, post: Post, workers: &mut W) {
        self.pairs.remove(post.pair);
        if let Some(exchange) = self.exchange(post.client) {
            exchange.stage = Stage::Waiting;
            exchange.head = post.head;
            self.start(post.client, post.member, workers);
        }
    }

    /// A head has been sent: it is kept where it may be sent again, or else its buffer is.
    pub(crate) fn keep_head(&mut self, client: Key, mut head: Vec<u8>) {
        let retries = self.settings.retry_idempotent;
        if let Some(exchange) = self.exchange(client)
            && retries
            && exchange.repeatable
        {
            exchange.head = head;
        } else if self.heads.len() < TOGETHER as usize && head.capacity() <= LARGE {
            head.clear();
            self.heads.push(head);
        }
    }

    fn exchange(&mut self, client: Key) -> Option<&mut Exchange> {
        match &mut self.clients.get_mut(client)?.phase {
            Phase::Serving(exchange) => Some(exchange),
            _ => None,
        }
    }
}
