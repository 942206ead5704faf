#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::time::Duration;

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio::time::timeout;

use super::error::Protocol;
use super::*;
use crate::network::version::Versions;

const SECRET: &str = "a secret of the tests";
/// Nothing here waits for anything but the other end.
const PATIENCE: Duration = Duration::from_secs(20);

fn of(node: NodeId, cluster: &str) -> Credentials {
    Credentials::new(node, cluster, SECRET).unwrap()
}

fn speaking(credentials: Credentials, oldest: u16, newest: u16) -> Credentials {
    Credentials { versions: Versions { oldest, newest }, ..credentials }
}

/// What the listener answers, with the verdict that its credentials give.
async fn listen(
    mut stream: DuplexStream,
    me: &Credentials,
) -> Result<(Claim, Verdict, Version), HandshakeError> {
    let proven = answer(&mut stream, me, || {}).await?;
    let verdict = me.judge(&proven.claim);
    proven.welcome(&mut stream, me, verdict).await?;
    Ok((proven.claim, verdict, proven.version))
}

async fn dial(mut stream: DuplexStream, me: &Credentials, target: NodeId) -> Result<Met, HandshakeError> {
    call(&mut stream, me, target).await
}

type Outcome = (Result<Met, HandshakeError>, Result<(Claim, Verdict, Version), HandshakeError>);

/// The handshake of two nodes that reach each other directly.
async fn meet(caller: &Credentials, target: NodeId, listener: &Credentials) -> Outcome {
    let (near, far) = duplex(4096);
    timeout(PATIENCE, async { tokio::join!(dial(near, caller, target), listen(far, listener)) })
        .await
        .unwrap()
}

/// What somebody between two nodes does to the bytes of one direction, given how many have passed already.
type Meddle<'a> = &'a (dyn Fn(usize, u8) -> Option<u8> + Sync);

async fn pass(
    mut from: ReadHalf<DuplexStream>,
    mut to: WriteHalf<DuplexStream>,
    meddle: Meddle<'_>,
) -> Vec<u8> {
    let mut passed = Vec::new();
    let mut byte = [0];
    while let Ok(1) = from.read(&mut byte).await {
        let Some(changed) = meddle(passed.len(), byte[0]) else { break };
        passed.push(changed);
        if to.write_all(&[changed]).await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
    passed
}

/// The handshake of two nodes with somebody between them. Answers what passed in both directions, too.
async fn meet_through(
    (caller, target): (&Credentials, NodeId),
    listener: &Credentials,
    forth: Meddle<'_>,
    back: Meddle<'_>,
) -> (Outcome, [Vec<u8>; 2]) {
    let ((near, middle), (other_middle, far)) = (duplex(4096), duplex(4096));
    let ((from_caller, to_caller), (from_listener, to_listener)) = (split(middle), split(other_middle));
    let all = async {
        tokio::join!(
            dial(near, caller, target),
            listen(far, listener),
            pass(from_caller, to_listener, forth),
            pass(from_listener, to_caller, back),
        )
    };
    let (met, listened, forth, back) = timeout(PATIENCE, all).await.unwrap();
    ((met, listened), [forth, back])
}

fn honest(_: usize, byte: u8) -> Option<u8> {
    Some(byte)
}

#[tokio::test]
async fn two_members_meet_and_know_each_other() {
    let (met, listened) = meet(&of(2, "c"), 1, &of(1, "c")).await;
    let (met, (claim, verdict, version)) = (met.unwrap(), listened.unwrap());
    assert_eq!((met.verdict, met.node, &*met.cluster, met.version), (Verdict::Welcome, 1, "c", version));
    assert_eq!((verdict, claim), (Verdict::Welcome, of(2, "c").claim(1)));
}

#[tokio::test]
async fn a_node_without_a_cluster_learns_its_id_from_the_welcome() {
    let met = meet(&of(0, ""), 0, &of(7, "c")).await.0.unwrap();
    assert_eq!((met.verdict, met.node, &*met.cluster), (Verdict::Welcome, 7, "c"));
    let met = meet(&of(7, "c"), 9, &of(0, "")).await.0.unwrap();
    assert_eq!((met.verdict, met.node, &*met.cluster), (Verdict::NoCluster, 0, ""));
}

#[tokio::test]
async fn another_secret_is_named_and_the_caller_has_sent_a_nonce_and_nothing_else() {
    let stranger = Credentials::new(1, "c", "another secret of the tests").unwrap();
    let caller = of(2, "c");
    let ((met, listened), [forth, _]) = meet_through((&caller, 1), &stranger, &honest, &honest).await;
    assert!(matches!(met, Err(HandshakeError::Secret)), "{met:?}");
    assert!(matches!(listened, Err(HandshakeError::Closed { silent: false })), "{:?}", listened.err());
    assert_eq!((forth.len(), &forth[..MAGIC.len()]), (HELLO_BYTES, &MAGIC[..]));
}

#[tokio::test]
async fn a_caller_that_does_not_check_the_listener_fails_by_its_own_proof() {
    // All that a stranger can do is to guess: it goes on whatever the listener proves, with a key of its own.
    let (mut near, far) = duplex(4096);
    let stranger = async {
        let hello = Hello { versions: Versions { oldest: 1, newest: 1 }, nonce: [7; 32] };
        near.write_all(&hello.encode()).await.unwrap();
        let challenge = Challenge::read(&mut near).await.unwrap();
        frame::read_tag(&mut near).await.unwrap();
        let keys = Keys::new(&Key::of_secret("a guess of the tests"), &hello, &challenge);
        let claim = frame::encode_claim(&of(2, "c").claim(1));
        near.write_all(&[&claim[..], &keys.0.tag(CALLER, &[&claim])].concat()).await.unwrap();
        // Not even a verdict comes.
        let mut rest = Vec::new();
        near.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"");
    };
    let me = of(1, "c");
    let ((), listened) = timeout(PATIENCE, async { tokio::join!(stranger, listen(far, &me)) }).await.unwrap();
    assert!(matches!(listened, Err(HandshakeError::Secret)));
}

#[tokio::test]
async fn an_exchange_that_is_sent_once_more_proves_nothing() {
    let (caller, listener) = (of(2, "c"), of(1, "c"));
    let (outcome, [forth, back]) = meet_through((&caller, 1), &listener, &honest, &honest).await;
    assert_eq!(outcome.0.unwrap().verdict, Verdict::Welcome);
    // To the listener, what the caller said.
    let (mut near, far) = duplex(4096);
    near.write_all(&forth).await.unwrap();
    assert!(matches!(listen(far, &listener).await, Err(HandshakeError::Secret)));
    // To the caller, what the listener said.
    let (near, mut far) = duplex(4096);
    far.write_all(&back).await.unwrap();
    assert!(matches!(dial(near, &caller, 1).await, Err(HandshakeError::Secret)));
}

#[tokio::test]
async fn a_caller_that_hears_itself_meets_nobody() {
    let (near, mut far) = duplex(4096);
    let echo = async {
        let mut said = vec![0; 512];
        while let Ok(size @ 1..) = far.read(&mut said).await {
            // A challenge is longer than a hello.
            if far.write_all(&said[..size].repeat(3)).await.is_err() {
                break;
            }
        }
    };
    let me = of(2, "c");
    let met = timeout(PATIENCE, async {
        tokio::select! { met = dial(near, &me, 1) => met, () = echo => panic!("the echo ends first") }
    });
    assert!(met.await.unwrap().is_err());
}

#[tokio::test]
async fn who_is_led_back_to_itself_or_to_another_node_is_told_so() {
    // Somebody who was named as the address of node 4 passes everything on: to node 2 itself, to node 3.
    for listener in [of(2, "c"), of(3, "c")] {
        let ((met, listened), _) = meet_through((&of(2, "c"), 4), &listener, &honest, &honest).await;
        let met = met.unwrap();
        assert_eq!((met.verdict, met.node), (Verdict::OtherNode, listener.node));
        assert_eq!(listened.unwrap().1, Verdict::OtherNode);
    }
    let ((met, _), _) = meet_through((&of(2, "c"), 3), &of(3, "d"), &honest, &honest).await;
    let met = met.unwrap();
    assert_eq!((met.verdict, &*met.cluster), (Verdict::OtherCluster, "d"));
    // A node without a cluster, led to itself.
    let ((met, _), _) = meet_through((&of(5, ""), 0), &of(5, ""), &honest, &honest).await;
    assert_eq!(met.unwrap().verdict, Verdict::NoCluster);
}

#[tokio::test]
async fn no_bit_of_it_can_be_changed_and_no_byte_left_out_at_the_end() {
    let (caller, listener) = (of(2, "c"), of(1, "c"));
    let (_, whole) = meet_through((&caller, 1), &listener, &honest, &honest).await;
    for (direction, bytes) in whole.iter().enumerate() {
        for place in 0..bytes.len() {
            let flip = |bit: u32| {
                move |at: usize, byte: u8| Some(if at == place { byte ^ (1u8 << bit) } else { byte })
            };
            let cut = |at: usize, byte: u8| (at < place).then_some(byte);
            let flipped = flip(place as u32 % 8);
            for meddle in [&flipped as Meddle<'_>, &cut] {
                let (forth, back): (Meddle<'_>, Meddle<'_>) =
                    if direction == 0 { (meddle, &honest) } else { (&honest, meddle) };
                let ((met, _), _) = meet_through((&caller, 1), &listener, forth, back).await;
                assert!(met.is_err(), "byte {place} of direction {direction}: {met:?}");
            }
        }
    }
}

#[tokio::test]
async fn the_newest_common_version_is_spoken_and_without_one_both_are_told() {
    let (met, listened) = meet(&speaking(of(2, "c"), 1, 2), 1, &speaking(of(1, "c"), 2, 5)).await;
    assert_eq!((met.unwrap().version.number(), listened.unwrap().2.number()), (2, 2));
    let (met, listened) = meet(&speaking(of(2, "c"), 1, 2), 1, &speaking(of(1, "c"), 3, 4)).await;
    let said = met.unwrap_err().to_string();
    assert!(
        said.contains("it speaks versions 3 to 4 ") && said.contains("this node speaks versions 1 to 2"),
        "{said}"
    );
    let said = listened.unwrap_err().to_string();
    assert!(
        said.contains("it speaks versions 1 to 2 ") && said.contains("this node speaks versions 3 to 4"),
        "{said}"
    );
}

#[tokio::test]
async fn nobody_can_talk_two_nodes_into_an_older_version() {
    let (caller, listener) = (speaking(of(2, "c"), 1, 2), speaking(of(1, "c"), 1, 2));
    // The caller's newest version becomes 1 on its way, or the listener's and with it the chosen one.
    let newest = MAGIC.len() + 2;
    let in_hello = |at: usize, byte: u8| Some(if at == newest { 1 } else { byte });
    let in_challenge = |at: usize, byte: u8| Some(if at == newest || at == newest + 2 { 1 } else { byte });
    for (forth, back) in [
        (&in_hello as Meddle<'_>, &honest as Meddle<'_>),
        (&honest, &in_challenge),
        (&in_hello, &in_challenge),
    ] {
        let ((met, _), _) = meet_through((&caller, 1), &listener, forth, back).await;
        assert!(met.is_err(), "{met:?}");
    }
}

#[tokio::test]
async fn who_speaks_something_else_is_told_apart_by_its_first_words() {
    let http = "what answers there speaks HTTP and is no node's listen.raft";
    let redis = "what answers there speaks the Redis protocol: that is no node's listen.raft";
    let other = "what answers there does not speak as nodes do: that is no node's listen.raft";
    for (said, expected) in [
        ("HTTP/1.1 400 Bad Request\r\n\r\n", http),
        ("-ERR unknown command\r\n", redis),
        ("SSH-2.0-OpenSSH_9.6\r\n", other),
        ("\0", other),
        ("", "it closes the connection without an answer"),
    ] {
        let (near, mut far) = duplex(4096);
        far.write_all(said.as_bytes()).await.unwrap();
        // It says no more and, where it has said something, waits for more.
        let _open = (!said.is_empty()).then_some(far);
        let met = timeout(PATIENCE, dial(near, &of(2, "c"), 1)).await.unwrap();
        assert_eq!(met.unwrap_err().to_string(), expected, "{said:?}");
    }
    let (mut near, far) = duplex(4096);
    near.write_all(b"POST /raft/append HTTP/1.1\r\nAuthorization: Bearer x\r\n\r\n").await.unwrap();
    let listened = timeout(PATIENCE, listen(far, &of(1, "c"))).await.unwrap();
    assert!(matches!(listened, Err(HandshakeError::NotANode(Protocol::Http))));
    let mut answer = Vec::new();
    near.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"", "a stranger is told nothing");
}

proptest! {
    #[test]
    fn garbage_is_an_error_on_both_sides(bytes: Vec<u8>, with_magic: bool, chosen in 0u16..3) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let mut said = Vec::new();
            if with_magic {
                said.extend_from_slice(MAGIC);
                said.extend_from_slice(&[1, 0, 1, 0]);
                said.extend_from_slice(&chosen.to_le_bytes());
            }
            said.extend_from_slice(&bytes);
            for listens in [false, true] {
                let (near, mut far) = duplex(1 << 16);
                far.write_all(&said).await.unwrap();
                far.shutdown().await.unwrap();
                let me = of(1, "c");
                let failed = if listens {
                    timeout(PATIENCE, listen(near, &me)).await.unwrap().is_err()
                } else {
                    timeout(PATIENCE, dial(near, &me, 2)).await.unwrap().is_err()
                };
                assert!(failed);
            }
        });
    }
}
