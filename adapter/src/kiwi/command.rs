//! Requests to Kiwi, and sizes that are safe.

use bytes::{BufMut, Bytes, BytesMut};

/// The most arguments of a request, and bytes of them, if they are more than one value: Kiwi closes the connection if
/// the product of the two is too large, some thousand million.
pub(super) const SAFE_ARGS: usize = 2_000;
pub(super) const SAFE_BYTES: usize = 256 * 1024;
/// Bytes of values that one reply is asked for. Kiwi drops what does not fit into the socket's buffer at once: some MB
/// over the loopback interface, less than 80 KB over any other.
pub(super) const SAFE_REPLY_LOCAL: usize = 512 * 1024;
pub(super) const SAFE_REPLY: usize = 48 * 1024;

/// A request that is being put together.
#[derive(Clone, Debug, Default)]
pub(super) struct Request {
    args: usize,
    payload: usize,
    body: BytesMut,
}

impl Request {
    /// Begins with the name of a command, or more.
    pub(super) fn new(args: &[&[u8]]) -> Self {
        let mut request = Self::default();
        args.iter().for_each(|arg| request.push(arg));
        request
    }

    /// Adds an argument.
    pub(super) fn push(&mut self, arg: &[u8]) {
        self.args += 1;
        self.payload += arg.len();
        let mut digits = itoa::Buffer::new();
        self.body.reserve(arg.len() + 16);
        self.body.put_u8(b'$');
        self.body.put_slice(digits.format(arg.len()).as_bytes());
        self.body.put_slice(b"\r\n");
        self.body.put_slice(arg);
        self.body.put_slice(b"\r\n");
    }

    /// What travels.
    pub(super) fn encode(self) -> Bytes {
        let mut digits = itoa::Buffer::new();
        let mut out = BytesMut::with_capacity(self.body.len() + 16);
        out.put_u8(b'*');
        out.put_slice(digits.format(self.args).as_bytes());
        out.put_slice(b"\r\n");
        out.put_slice(&self.body);
        out.freeze()
    }
}

/// Requests of one kind that are filled one behind the other.
#[derive(Debug)]
pub(super) struct Filling {
    begin: Vec<Vec<u8>>,
    full: Vec<Request>,
    open: Option<Request>,
}

impl Filling {
    /// All begin with these arguments.
    pub(super) fn new(begin: &[&[u8]]) -> Self {
        Self { begin: begin.iter().map(|arg| arg.to_vec()).collect(), full: Vec::new(), open: None }
    }

    /// Adds arguments that belong together.
    pub(super) fn push(&mut self, args: &[&[u8]]) {
        if !self.fits(args) {
            self.close();
        }
        let request = self
            .open
            .get_or_insert_with(|| Request::new(&self.begin.iter().map(Vec::as_slice).collect::<Vec<_>>()));
        args.iter().for_each(|arg| request.push(arg));
    }

    /// Whether arguments go into the same request as those before them.
    pub(super) fn fits(&self, args: &[&[u8]]) -> bool {
        let bytes: usize = args.iter().map(|arg| arg.len()).sum();
        self.open
            .as_ref()
            .is_none_or(|open| open.args + args.len() <= SAFE_ARGS && open.payload + bytes <= SAFE_BYTES)
    }

    /// What follows goes into another request.
    pub(super) fn close(&mut self) {
        self.full.extend(self.open.take());
    }

    /// The requests.
    pub(super) fn finish(mut self) -> Vec<Request> {
        self.close();
        self.full
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_an_array_of_bulk_strings() {
        assert_eq!(Request::new(&[b"GET", b"a\r\n"]).encode(), "*2\r\n$3\r\nGET\r\n$3\r\na\r\n\r\n");
    }

    #[test]
    fn requests_stay_small() {
        let mut filling = Filling::new(&[b"SADD", b"k"]);
        for n in 0..10_000_u32 {
            filling.push(&[&n.to_be_bytes()]);
        }
        let requests = filling.finish();
        assert_eq!(requests.iter().map(|request| request.args - 2).sum::<usize>(), 10_000);
        assert!(requests.iter().all(|request| request.args <= SAFE_ARGS));
    }
}
