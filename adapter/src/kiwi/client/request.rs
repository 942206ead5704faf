//! Requests to Kiwi.

use bytes::{BufMut, Bytes, BytesMut};

use super::limits::{SAFE_ARGS, SAFE_BYTES};

/// A request under construction.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    args: usize,
    payload: usize,
    body: BytesMut,
}

impl Request {
    /// Starts with these arguments, the command name first.
    pub(crate) fn new(args: &[&[u8]]) -> Self {
        let mut request = Self::default();
        args.iter().for_each(|arg| request.push(arg));
        request
    }

    /// Adds an argument.
    pub(crate) fn push(&mut self, arg: &[u8]) {
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

    /// The wire form.
    pub(crate) fn encode(self) -> Bytes {
        let mut digits = itoa::Buffer::new();
        let mut out = BytesMut::with_capacity(self.body.len() + 16);
        out.put_u8(b'*');
        out.put_slice(digits.format(self.args).as_bytes());
        out.put_slice(b"\r\n");
        out.put_slice(&self.body);
        out.freeze()
    }
}

/// Packs arguments into as few requests of one kind as the limits allow.
#[derive(Debug)]
pub(crate) struct RequestPacker {
    begin: Vec<Vec<u8>>,
    full: Vec<Request>,
    open: Option<Request>,
}

impl RequestPacker {
    /// Every request starts with these arguments.
    pub(crate) fn new(begin: &[&[u8]]) -> Self {
        Self { begin: begin.iter().map(|arg| arg.to_vec()).collect(), full: Vec::new(), open: None }
    }

    /// Adds arguments that must stay in one request.
    pub(crate) fn push(&mut self, args: &[&[u8]]) {
        if !self.fits(args) {
            self.close();
        }
        let request = self
            .open
            .get_or_insert_with(|| Request::new(&self.begin.iter().map(Vec::as_slice).collect::<Vec<_>>()));
        args.iter().for_each(|arg| request.push(arg));
    }

    /// Whether these arguments still fit into the open request.
    pub(crate) fn fits(&self, args: &[&[u8]]) -> bool {
        let bytes: usize = args.iter().map(|arg| arg.len()).sum();
        self.open
            .as_ref()
            .is_none_or(|open| open.args + args.len() <= SAFE_ARGS && open.payload + bytes <= SAFE_BYTES)
    }

    /// Closes the open request; what follows starts a new one.
    pub(crate) fn close(&mut self) {
        self.full.extend(self.open.take());
    }

    /// The requests.
    pub(crate) fn finish(mut self) -> Vec<Request> {
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
        let mut filling = RequestPacker::new(&[b"SADD", b"k"]);
        for n in 0..10_000_u32 {
            filling.push(&[&n.to_be_bytes()]);
        }
        let requests = filling.finish();
        assert_eq!(requests.iter().map(|request| request.args - 2).sum::<usize>(), 10_000);
        assert!(requests.iter().all(|request| request.args <= SAFE_ARGS));
    }
}
