//! Protected mode, as in Redis: while no password is set, who comes from another machine is told so and is not served.
//! With the mode off (`listen.protected_mode = false`) everybody is served, and changes of the cluster and of its
//! configuration are still taken from this machine only. Both hold for the Redis protocol and for HTTP alike.

use std::net::SocketAddr;

use conf::ClusterConfig;

/// What a client of the Redis protocol is told before its connection is closed. Redis's text, but for the names of
/// options that are others here.
pub(crate) const DENIED: &str = "DENIED Redis is running in protected mode because protected mode is enabled and no \
    password is set for the default user. In this mode connections are only accepted from the loopback interface. If you \
    want to connect from external computers to Redis you may adopt one of the following solutions: 1) Just disable \
    protected mode sending the command 'CONFIG SET protected-mode no' from the loopback interface by connecting to Redis \
    from the same host the server is running, however MAKE SURE Redis is not publicly accessible from internet if you do \
    so. Use CONFIG REWRITE to make this change permanent. 2) Alternatively you can just disable the protected mode by \
    editing cluster.conf, and setting listen.protected_mode to false, and then restarting the server. 3) If you started \
    the server manually just for testing, restart it with the '--listen-protected-mode false' option. 4) Set up a \
    password with listen.password. NOTE: You only need to do one of the above things in order for the server to start \
    accepting connections from the outside.";

/// What a client from another machine is told that asks for a change while no password is set.
pub(crate) const CHANGES_DENIED: &str = "no password is set (listen.password): changes of the cluster and of its configuration are taken from this machine \
     only";

/// Whether a connection is not to be served.
pub(crate) fn denies(config: &ClusterConfig, peer: SocketAddr, local: SocketAddr) -> bool {
    config.listen.protected_mode && denies_changes(config, peer, local)
}

/// Whether a connection may not change the cluster or its configuration, if it is served.
pub(crate) fn denies_changes(config: &ClusterConfig, peer: SocketAddr, local: SocketAddr) -> bool {
    config.listen.password.is_empty() && !is_of_this_machine(peer, local)
}

/// Whether a connection comes over the loopback interface. One from an address to the same address does, whatever the
/// address is: the kernel takes no packet from a network that claims to come from one of its own.
fn is_of_this_machine(peer: SocketAddr, local: SocketAddr) -> bool {
    let peer = peer.ip().to_canonical();
    peer.is_loopback() || peer == local.ip().to_canonical()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn denied(config: &ClusterConfig, peer: &str, local: &str) -> (bool, bool) {
        let (peer, local) = (peer.parse().unwrap(), local.parse().unwrap());
        (denies(config, peer, local), denies_changes(config, peer, local))
    }

    #[test]
    fn without_a_password_this_machine_alone_is_served() {
        let config = ClusterConfig::default();
        for (peer, local, is_denied) in [
            ("127.0.0.1:5", "127.0.0.1:6400", false),
            ("127.9.9.9:5", "127.0.0.1:6400", false),
            ("[::1]:5", "[::1]:6400", false),
            ("[::ffff:127.0.0.1]:5", "[::ffff:127.0.0.1]:6400", false),
            ("10.0.0.1:5", "10.0.0.1:6400", false),
            ("[::ffff:10.0.0.1]:5", "10.0.0.1:6400", false),
            ("10.0.0.2:5", "10.0.0.1:6400", true),
            ("[::ffff:10.0.0.2]:5", "[::ffff:10.0.0.1]:6400", true),
            ("[fe80::2]:5", "[fe80::1]:6400", true),
            // Nobody comes from there; who says so is not believed.
            ("0.0.0.0:5", "10.0.0.1:6400", true),
        ] {
            assert_eq!(denied(&config, peer, local), (is_denied, is_denied), "{peer} to {local}");
        }
    }

    #[test]
    fn a_password_lets_everybody_try_and_the_option_serves_everybody_but_for_changes() {
        let (peer, local) = ("10.0.0.2:5", "10.0.0.1:6400");
        let mut config = ClusterConfig::default();
        config.listen.protected_mode = false;
        assert_eq!(denied(&config, peer, local), (false, true));
        config.listen.password = "pw".to_owned();
        assert_eq!(denied(&config, peer, local), (false, false));
        config.listen.protected_mode = true;
        assert_eq!(denied(&config, peer, local), (false, false));
    }
}
