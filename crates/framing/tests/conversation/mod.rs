//! Conversations between a client and a server, of which it is known where each message ends.

use fastrand::Rng;

/// Who says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
    /// The server, with bytes that cannot be looked at.
    File,
}

#[derive(Clone)]
struct Exchange {
    request: Vec<u8>,
    /// Where the request's head ends: from there on it may be answered.
    head: usize,
    response: Vec<u8>,
    /// Which bytes of the response may come out of a file.
    file: std::ops::Range<usize>,
}

/// Several exchanges, perhaps pipelined.
pub(crate) struct Conversation {
    exchanges: Vec<Exchange>,
    /// How far each side has come: which exchange, which byte of it.
    client: (usize, usize),
    server: (usize, usize),
}

impl Conversation {
    pub(crate) fn new(random: &mut Rng) -> Self {
        let count = 1 + random.usize(..6);
        let mut exchanges: Vec<Exchange> = Vec::new();
        for at in 0..count {
            // Clients and servers say the same again and again.
            let next = match exchanges.get(random.usize(..=at)) {
                Some(earlier) => earlier.clone(),
                None => exchange(random),
            };
            exchanges.push(next);
        }
        Self {
            exchanges,
            client: (0, 0),
            server: (0, 0),
        }
    }

    /// Whether nothing is in progress.
    pub(crate) fn is_idle(&self) -> bool {
        self.client.1 == 0 && self.server == self.client
    }

    /// What is said next; `None` at the end.
    pub(crate) fn next(&mut self, random: &mut Rng) -> Option<(Side, Vec<u8>)> {
        let can_ask = self.client.0 < self.exchanges.len();
        let can_answer = match self.exchanges.get(self.server.0) {
            Some(exchange) if self.server.0 == self.client.0 => self.client.1 >= exchange.head,
            Some(_) => self.server.0 < self.client.0,
            None => false,
        };
        if !can_ask && !can_answer {
            return None;
        }
        if can_ask && (!can_answer || random.u64(..3) == 0) {
            let rest = &self.exchanges[self.client.0].request[self.client.1..];
            let piece = rest[..cut(rest.len(), random)].to_vec();
            self.client.1 += piece.len();
            if piece.len() == rest.len() {
                self.client = (self.client.0 + 1, 0);
            }
            return Some((Side::Client, piece));
        }
        let exchange = &self.exchanges[self.server.0];
        let at = self.server.1;
        let rest = &exchange.response[at..];
        let in_file = exchange.file.contains(&at) && random.bool();
        let most = if in_file {
            exchange.file.end - at
        } else {
            rest.len()
        };
        let piece = rest[..cut(most, random)].to_vec();
        self.server.1 += piece.len();
        if piece.len() == rest.len() {
            self.server = (self.server.0 + 1, 0);
        }
        Some((if in_file { Side::File } else { Side::Server }, piece))
    }
}

/// How many of so many bytes are said at once.
fn cut(len: usize, random: &mut Rng) -> usize {
    match random.usize(..3) {
        0 => len,
        1 => 1,
        _ => 1 + random.usize(..len),
    }
}

fn exchange(random: &mut Rng) -> Exchange {
    let method = pick(
        random,
        &["GET", "POST", "HEAD", "PUT", "OPTIONS", "M-SEARCH"],
    );
    let target = pick(
        random,
        &["/", "/a?b=GET / HTTP/1.1", "/%0d%0a", "*", "http://a/"],
    );
    let mut request = format!("{method} {target} HTTP/1.1\r\n").into_bytes();
    fields(random, &mut request);
    let data = body(random);
    let request_framing = random.usize(..3);
    let tail = framed(random, request_framing, &data, &mut request).0;
    let head = request.len();
    request.extend(tail);
    let mut response = Vec::new();
    while random.u64(..4) == 0 {
        let interim = pick(
            random,
            &["100 Continue", "103 Early Hints", "102 Processing"],
        );
        response.extend(format!("HTTP/1.1 {interim}\r\n").bytes());
        fields(random, &mut response);
        response.extend(b"\r\n");
    }
    let status = pick(
        random,
        &[
            "200 OK",
            "404 Not Found",
            "204 No Content",
            "304 Not Modified",
            "500",
        ],
    );
    response.extend(format!("HTTP/1.1 {status}\r\n").bytes());
    fields(random, &mut response);
    let data = body(random);
    let response_framing = 1 + random.usize(..2);
    let (tail, file) = framed(random, response_framing, &data, &mut response);
    let start = response.len();
    let has_body = method != "HEAD" && !status.starts_with("204") && !status.starts_with("304");
    if has_body {
        response.extend(tail);
    }
    let file = if has_body {
        file.start + start..file.end + start
    } else {
        0..0
    };
    Exchange {
        request,
        head,
        response,
        file,
    }
}

/// Ends a head for some data, framed in this way: nothing, a length, chunks. The body comes back, and
/// where it is data.
fn framed(
    random: &mut Rng,
    how: usize,
    data: &[u8],
    head: &mut Vec<u8>,
) -> (Vec<u8>, std::ops::Range<usize>) {
    let mut body = Vec::new();
    let mut file = 0..0;
    let name = |random: &mut Rng, name: &str| {
        if random.u64(..3) == 0 {
            name.to_ascii_lowercase()
        } else {
            name.to_owned()
        }
    };
    match how {
        0 => {}
        1 => {
            let name = name(random, "Content-Length");
            let space = pick(random, &["", " ", "\t ", "  "]);
            head.extend(format!("{name}:{space}{}{space}\r\n", data.len()).bytes());
            file = 0..data.len();
            body = data.to_vec();
        }
        _ => {
            let name = name(random, "Transfer-Encoding");
            let coding = pick(random, &["chunked", "Chunked", "CHUNKED"]);
            head.extend(format!("{name}: {coding}\r\n").bytes());
            for chunk in data.chunks(1 + random.usize(..40)) {
                let extension = pick(random, &["", ";a=b", ";a=\"\\\"0\"", " ;x"]).trim();
                let zeros = pick(random, &["", "00"]);
                body.extend(format!("{zeros}{:X}{extension}\r\n", chunk.len()).bytes());
                file = body.len()..body.len() + chunk.len();
                body.extend(chunk);
                body.extend(b"\r\n");
            }
            body.extend(
                pick(
                    random,
                    &[
                        "0\r\n\r\n",
                        "000;x\r\n\r\n",
                        "0\r\nX: y\r\nContent-Length: 9\r\n\r\n",
                    ],
                )
                .bytes(),
            );
        }
    }
    fields(random, head);
    head.extend(b"\r\n");
    (body, file)
}

fn fields(random: &mut Rng, head: &mut Vec<u8>) {
    const FIELDS: &[&str] = &[
        "Host: a",
        "Cookie: a=b; c=d",
        "Content-Type: text/plain",
        "Content-Lengthy: 7",
        "Transfer-Encoding-X: chunked",
        "Connection: keep-alive",
        "Connection: Keep-Alive, X",
        "Expect: 100-continue",
        "T: \tt\tt",
        "Upgraded: x",
        "X-Long: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "X-Bytes: \u{e4}\u{f6}",
        "C:",
        "u: ",
    ];
    for _ in 0..random.usize(..5) {
        head.extend(FIELDS[random.usize(..FIELDS.len())].bytes());
        head.extend(b"\r\n");
    }
}

/// Data that looks like messages.
fn body(random: &mut Rng) -> Vec<u8> {
    const PARTS: &[&str] = &[
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "0\r\n\r\n",
        "\r\n",
        "x",
        "hello",
    ];
    let mut data = Vec::new();
    for _ in 0..random.usize(..5) {
        data.extend(PARTS[random.usize(..PARTS.len())].bytes());
    }
    data
}

fn pick<'a>(random: &mut Rng, from: &[&'a str]) -> &'a str {
    from[random.usize(..from.len())]
}
