//! The etcd client of the benchmark: gRPC's two messages written by hand on HTTP/2, so that the client costs
//! about as little as the RESP client. A pipeline is as many requests at once on one connection.

use std::time::Instant;

use bytes::{BufMut, Bytes, BytesMut};
use h2::client::SendRequest;
use http::Request;
use tokio::net::TcpStream;

use crate::{KEYS, Keys, Load, Operation, VALUE};

async fn connect(port: u16) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// `etcdserverpb.PutRequest { bytes key = 1; bytes value = 2; }` or `RangeRequest { bytes key = 1; }`, framed.
fn body(operation: Operation, key: u64) -> Bytes {
    let key = format!("key:{key:012}");
    let mut message = BytesMut::new();
    message.put_u8(1 << 3 | 2);
    message.put_u8(key.len() as u8);
    message.put_slice(key.as_bytes());
    if operation == Operation::Set {
        message.put_u8(2 << 3 | 2);
        message.put_u8(VALUE as u8);
        message.put_bytes(b'x', VALUE);
    }
    let mut framed = BytesMut::new();
    framed.put_u8(0);
    framed.put_u32(message.len() as u32);
    framed.unsplit(message);
    framed.freeze()
}

async fn call(sender: SendRequest<Bytes>, port: u16, operation: Operation, key: u64) {
    let method = if operation == Operation::Set { "Put" } else { "Range" };
    let request = Request::post(format!("http://127.0.0.1:{port}/etcdserverpb.KV/{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .unwrap();
    let mut sender = sender.ready().await.unwrap();
    let (response, mut stream) = sender.send_request(request, false).unwrap();
    stream.send_data(body(operation, key), true).unwrap();
    let mut answer = response.await.unwrap().into_body();
    while let Some(data) = answer.data().await {
        let data = data.unwrap();
        answer.flow_control().release_capacity(data.len()).unwrap();
    }
    let trailers = answer.trailers().await.unwrap().expect("gRPC ends with trailers");
    assert_eq!(trailers["grpc-status"], "0", "{trailers:?}");
}

async fn call_all(sender: &SendRequest<Bytes>, port: u16, operation: Operation, keys: Vec<u64>) {
    let calls: Vec<_> =
        keys.into_iter().map(|key| tokio::spawn(call(sender.clone(), port, operation, key))).collect();
    for call in calls {
        call.await.unwrap();
    }
}

/// Writes every key once.
pub(crate) fn preload(port: u16) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let sender = connect(port).await;
        for first in (0..KEYS).step_by(100) {
            call_all(&sender, port, Operation::Set, (first..first + 100).collect()).await;
        }
    });
}

/// Sends requests until `end`; the microseconds that each round of them took that began after `start`.
pub(crate) async fn client(port: u16, client: usize, load: Load, start: Instant, end: Instant) -> Vec<u32> {
    let sender = connect(port).await;
    let (mut keys, mut times) = (Keys::new(client), Vec::new());
    loop {
        let sent = Instant::now();
        if sent >= end {
            return times;
        }
        if load.pipeline == 1 {
            call(sender.clone(), port, load.operation, keys.next()).await;
        } else {
            call_all(&sender, port, load.operation, (0..load.pipeline).map(|_| keys.next()).collect()).await;
        }
        if sent >= start {
            times.push(sent.elapsed().as_micros() as u32);
        }
    }
}
