//! Requests that were made to be read in two ways: what is refused, and what becomes of the rest.
//!
//! From RFC 9112 and 9110, from the collections of those who study request smuggling (Linhart et
//! al. 2005, Kettle 2019 to 2025, the HTTP Garden), and from what was published of proxies and
//! servers: CVE-2019-16276 (Go), CVE-2019-18860 and CVE-2020-10108 and -10109 (Twisted),
//! CVE-2020-8287, CVE-2021-22960, CVE-2022-32213 to -32215, CVE-2022-35256, CVE-2023-30589 and
//! CVE-2024-22019 (Node), CVE-2021-21299 and -32714 (hyper), CVE-2021-40346 and CVE-2023-25725 and
//! -40225 (HAProxy), CVE-2019-20372 and CVE-2009-2629 (nginx), CVE-2024-53868 (Traffic Server),
//! CVE-2025-4366 and CVE-2025-58068 (Pingora, Eventlet), CVE-2023-46846 (Squid).

/// What it is, the bytes, and the status with which they must be refused.
pub(crate) const REFUSED: &[(&str, &str, u16)] = &[
    (
        "CL and TE",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
        400,
    ),
    (
        "TE and CL",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\nG",
        400,
    ),
    (
        "two lengths that differ",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        400,
    ),
    (
        "a whole URL in place of Host",
        "GET http://a/ HTTP/1.1\r\n\r\n",
        400,
    ),
    (
        "a target that names a port alone",
        "GET http://:80/ HTTP/1.1\r\nHost: :80\r\n\r\n",
        400,
    ),
    (
        "two equal lengths",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        400,
    ),
    (
        "a list of lengths",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello",
        400,
    ),
    (
        "a signed length",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello",
        400,
    ),
    (
        "a negative length",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\nhello",
        400,
    ),
    (
        "a length in hexadecimal",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nhello",
        400,
    ),
    (
        "a length with an underscore",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1_0\r\n\r\nhellohello",
        400,
    ),
    (
        "a length with a space",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1 0\r\n\r\nhellohello",
        400,
    ),
    (
        "a fraction of a length",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5.0\r\n\r\nhello",
        400,
    ),
    (
        "a length beyond 64 bits",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551621\r\n\r\nhello",
        400,
    ),
    (
        "no length",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\n",
        400,
    ),
    (
        "an unknown coding before chunked",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        501,
    ),
    (
        "identity before chunked",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n",
        501,
    ),
    (
        "chunked is not last",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "chunked twice",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "chunked in two lines",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "identity in a second line",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "identity alone",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n",
        400,
    ),
    (
        "xchunked",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "quoted chunked",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "chunked with a parameter",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "a vertical tab before chunked",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "chunked in HTTP/1.0",
        "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "an empty coding",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \r\n\r\n",
        400,
    ),
    (
        "a space before the colon",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "a tab before the colon",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length\t: 5\r\n\r\nhello",
        400,
    ),
    (
        "a space before the first field",
        "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        400,
    ),
    (
        "a folded line",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
        400,
    ),
    (
        "a folded coding",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "an empty name",
        "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
        400,
    ),
    (
        "a field without colon",
        "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",
        400,
    ),
    (
        "a control byte in a name",
        "GET / HTTP/1.1\r\nHost: a\r\nX\x01: b\r\n\r\n",
        400,
    ),
    (
        "a zero byte in a value",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
        400,
    ),
    (
        "a bare CR in a value",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\rTransfer-Encoding: chunked\r\n\r\n",
        400,
    ),
    (
        "a bare CR after the request line",
        "GET / HTTP/1.1\rHost: a\r\n\r\n",
        400,
    ),
    (
        "a bare LF after a field",
        "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
        400,
    ),
    (
        "a bare LF after the request line",
        "GET / HTTP/1.1\nHost: a\r\n\r\n",
        400,
    ),
    ("bare LFs alone", "GET / HTTP/1.1\nHost: a\n\n", 400),
    (
        "LF CR LF at the end",
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        400,
    ),
    (
        "an empty line first",
        "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
    ),
    ("no Host", "GET / HTTP/1.1\r\n\r\n", 400),
    (
        "two Hosts",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        400,
    ),
    (
        "two equal Hosts",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        400,
    ),
    (
        "a Host with a path",
        "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
        400,
    ),
    (
        "a Host with a user",
        "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n",
        400,
    ),
    (
        "a Host with a space",
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        400,
    ),
    (
        "a Host with a bad port",
        "GET / HTTP/1.1\r\nHost: a:80x\r\n\r\n",
        400,
    ),
    (
        "target and Host differ",
        "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
    ),
    (
        "a target with a user",
        "GET http://a@b/ HTTP/1.1\r\nHost: a@b\r\n\r\n",
        400,
    ),
    (
        "a target without slash",
        "GET a HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
    ),
    (
        "another scheme",
        "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
    ),
    ("a star for GET", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("a fragment", "GET /#a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (
        "a space in the target",
        "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
    ),
    ("two spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (
        "a space after the version",
        "GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
        400,
    ),
    (
        "a tab for a space",
        "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
    ),
    ("no version", "GET /\r\nHost: a\r\n\r\n", 400),
    (
        "a version in lower case",
        "GET / http/1.1\r\nHost: a\r\n\r\n",
        400,
    ),
    ("version 1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505),
    ("version 2.0", "PRI * HTTP/2.0\r\n\r\n", 505),
    ("version 0.9", "GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505),
    (
        "a version with two digits",
        "GET / HTTP/1.10\r\nHost: a\r\n\r\n",
        400,
    ),
    (
        "CONNECT",
        "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n",
        405,
    ),
    (
        "a method with a slash",
        "GE/T / HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
    ),
    ("TLS", "\x16\x03\x01\x02", 400),
    (
        "a chunk's size with 0x",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
        400,
    ),
    (
        "a signed chunk's size",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n",
        400,
    ),
    (
        "a chunk's size beyond 64 bits",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000005\r\nhello\r\n0\r\n\r\n",
        400,
    ),
    (
        "no chunk's size",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "a space before a chunk's size",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n 5\r\nhello\r\n0\r\n\r\n",
        400,
    ),
    (
        "a space after a chunk's size",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n",
        400,
    ),
    (
        "a bare LF after a chunk's size",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
        400,
    ),
    (
        "a bare LF after a chunk",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\n0\r\n\r\n",
        400,
    ),
    (
        "a chunk longer than its size",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n",
        400,
    ),
    (
        "a bare LF in a chunk's extension",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a\nhello\r\n0\r\n\r\n",
        400,
    ),
    (
        "a bare CR in a chunk's extension",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a\rb\r\nhello\r\n0\r\n\r\n",
        400,
    ),
    (
        "a bare LF in a quoted extension",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=\"\n\"\r\nhello\r\n0\r\n\r\n",
        400,
    ),
    (
        "a bare LF at the body's end",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\nGET",
        400,
    ),
    (
        "a malformed trailer",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX : a\r\n\r\n",
        400,
    ),
    (
        "a folded trailer",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: a\r\n b\r\n\r\n",
        400,
    ),
];
