//! `HealthMonitor`: every link between the members, measured from both ends, in one view that all nodes share.
//!
//! | module | what it says |
//! |---|---|
//! | [`link`] | one link as this node measures it, with hysteresis |
//! | [`report`] | what one node tells the others of its links |
//! | [`datagram`] | reports in datagrams, which tell a direction that works from one that does not |
//! | [`judge`] | what all reports say together: one-way links, dead and partitioned members |
//! | [`view`] | what operators are shown |
//!
//! Once in each interval every node asks every other member over the Raft port, with a connection of its own and all
//! reports that it has; the answer brings all that the other has. So a report reaches everybody over any way that is
//! left. Nothing here waits for Raft, or makes it wait.

mod datagram;
mod judge;
mod link;
mod report;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use adapter::clock::unix_ms;
use hyper::StatusCode;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

pub use crate::network::traffic::Connections;
pub use view::{Fault, HealthView, LinkHealth, LinkState, MemberHealth, MemberState};

use self::datagram::{Beat, Datagrams, Key};
use self::judge::{Evidence, Steady};
use self::link::Link;
use self::report::{LinkReport, Report, Reports};
use crate::log_clock::{ClockReport, LogClock, Skews};
use crate::network::path;
use crate::network::peers::Peers;
use crate::network::pool::{CallError, Pool};
use crate::network::wire::{self, Malformed};
use crate::types::NodeId;

/// The longest that an answer is waited for, if the interval is longer.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// A report counts for so many intervals. One at second hand is up to two of them old when it arrives.
const FRESH: u32 = 4;
/// A member is heard while a datagram of it is at most so many intervals old.
const HEARD: u32 = 2;
/// How often in a row a state must be seen before it is shown, where it rests on several nodes' reports: they do not
/// change at the same moment, and up to three intervals later what is left of an earlier state may look like another.
const SIGHTS: u32 = 4;
/// How long the address of a member may take to be looked up.
const LOOK_UP: Duration = Duration::from_millis(200);

/// A member, for the monitor.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    pub(crate) voter: bool,
    /// `host:port` of its Raft listener.
    pub(crate) raft: String,
}

/// The members at a moment.
pub(crate) type Roster = BTreeMap<NodeId, Watched>;

/// Who the members are now.
pub(crate) type RosterSource = Box<dyn Fn() -> Roster + Send + Sync>;

/// See the module.
pub struct HealthMonitor {
    me: NodeId,
    interval: Duration,
    /// A link on which an answer takes this long is slow.
    slow_from: Duration,
    peers: Peers,
    datagrams: Option<Arc<Datagrams>>,
    clock: Arc<LogClock>,
    roster: OnceLock<RosterSource>,
    state: Mutex<State>,
}

struct State {
    roster: Roster,
    incarnation: u64,
    round: u64,
    links: BTreeMap<NodeId, Link>,
    heard: BTreeMap<NodeId, LastDatagram>,
    reports: Reports,
    shown_links: Steady<(NodeId, NodeId), LinkState>,
    shown_members: Steady<NodeId, MemberState>,
}

/// The newest datagram of a member.
#[derive(Clone, Copy)]
struct LastDatagram {
    at: Instant,
    incarnation: u64,
    round: u64,
}

impl HealthMonitor {
    /// A monitor that does not measure yet. `listener` is where this node's Raft listener is.
    pub(crate) async fn new(
        config: &conf::ClusterConfig,
        me: NodeId,
        cluster_id: &str,
        listener: Option<SocketAddr>,
        peers: Peers,
        clock: Arc<LogClock>,
    ) -> Arc<Self> {
        let secret = &config.cluster.secret;
        let datagrams = match listener.filter(|_| !secret.is_empty()) {
            None => None,
            Some(address) => match Datagrams::bind(address, Key::new(cluster_id, secret)).await {
                Ok(datagrams) => Some(Arc::new(datagrams)),
                Err(error) => {
                    tracing::warn!(%address, %error, "no UDP port: one-way losses of packets are not told from others");
                    None
                }
            },
        };
        let state = State {
            roster: Roster::new(),
            incarnation: unix_ms(),
            round: 0,
            links: BTreeMap::new(),
            heard: BTreeMap::new(),
            reports: Reports::default(),
            shown_links: Steady::default(),
            shown_members: Steady::default(),
        };
        Arc::new(Self {
            me,
            interval: config.raft.health_interval,
            slow_from: config.raft.heartbeat_interval / 2,
            peers,
            datagrams,
            clock,
            roster: OnceLock::new(),
            state: Mutex::new(state),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Measures, and listens. For ever.
    pub(crate) async fn run(self: Arc<Self>, roster: RosterSource) {
        // Only the first one counts.
        let _ = self.roster.set(roster);
        tokio::join!(self.measure(), self.listen());
    }

    async fn measure(&self) {
        let mut ticks = tokio::time::interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.round(self.roster()).await;
        }
    }

    fn roster(&self) -> Roster {
        self.roster.get().map(|members| members()).unwrap_or_default()
    }

    async fn listen(&self) {
        let Some(datagrams) = &self.datagrams else { return };
        loop {
            let beat = datagrams.receive().await;
            let mut state = self.state();
            if beat.is_for(self.me, state.incarnation) {
                state.hear(beat.report, self.interval);
            }
        }
    }

    /// One question to each other member, all at once.
    async fn round(&self, roster: Roster) {
        let (report, body, incarnations) = {
            let mut state = self.state();
            state.adopt(roster, self.me);
            let report = state.renew(self.me, self.interval, self.clock.report());
            (report, wire::encode(&state.told(self.interval)), state.reports.incarnations())
        };
        let mut asking = JoinSet::new();
        for (id, pool) in self.pools() {
            let (body, wait) = (body.clone(), self.interval.min(LONGEST_WAIT));
            let beat = self.datagrams.clone().zip(incarnations.get(&id)).map(|(datagrams, incarnation)| {
                (datagrams, Beat { to: id, incarnation: *incarnation, report: report.clone() })
            });
            asking.spawn(async move {
                let ((), answer) = tokio::join!(send_beat(beat, &pool), ask(&pool, body, wait));
                (id, answer)
            });
        }
        while let Some(asked) = asking.join_next().await {
            // Only a panic ends such a task early.
            let Ok((id, answer)) = asked else { continue };
            self.answered(id, answer);
        }
        let mut state = self.state();
        state.renew(self.me, self.interval, self.clock.report());
        state.judge(self.me, self.interval);
    }

    fn pools(&self) -> Vec<(NodeId, Arc<Pool>)> {
        let state = self.state();
        let others = state.roster.iter().filter(|(id, _)| **id != self.me);
        others.map(|(id, member)| (*id, self.peers.at(*id, &member.raft))).collect()
    }

    fn answered(&self, id: NodeId, answer: Result<(Duration, Vec<Report>), Fault>) {
        let mut state = self.state();
        let link = state.links.entry(id).or_default();
        match answer {
            Ok((took, reports)) => {
                link.answered(took, self.slow_from);
                self.peers.traffic(id).round_trip(took);
                state.take(reports, id, self.me);
            }
            Err(fault) => link.failed(fault),
        }
    }

    /// Answers a member that asks, and takes what it tells.
    pub(crate) fn answer(&self, sender: NodeId, body: &[u8]) -> Result<Vec<u8>, Malformed> {
        let reports: Vec<Report> = wire::decode(body)?;
        let mut state = self.state();
        state.take(reports, sender, self.me);
        // What is told of this node's clocks is of now.
        state.renew(self.me, self.interval, self.clock.report());
        Ok(wire::encode(&state.told(self.interval)))
    }

    /// Whether a member has not answered lately.
    pub(crate) fn is_down(&self, id: NodeId) -> bool {
        self.state().links.get(&id).is_some_and(|link| link.measured == link::Measured::Down)
    }

    /// What the others' clocks say now, of those that have been heard lately.
    pub(crate) fn clocks(&self) -> BTreeMap<NodeId, ClockReport> {
        self.state().reports.clocks(self.interval * FRESH, Instant::now())
    }

    /// All links and members, as they are shown.
    pub fn view(&self) -> HealthView {
        let roster = self.roster();
        let skews = self.clock.skews(self.me);
        let state = self.state();
        let now = Instant::now();
        let members: BTreeSet<NodeId> = roster.keys().copied().collect();
        let evidence = state.evidence(self.me, &members, self.interval, now);
        let voters = roster.iter().filter(|(_, member)| member.voter).map(|(id, _)| *id).collect();
        let links = pairs(&members).map(|(from, to)| {
            let shown = state.shown_links.shown((from, to));
            let reported = evidence.reported(from, to);
            let works = matches!(shown, LinkState::Up | LinkState::Slow | LinkState::OneWay);
            LinkHealth {
                from,
                to,
                state: shown,
                round_trip_us: reported.and_then(|link| link.round_trip_us).filter(|_| works),
                fault: reported.and_then(|link| link.fault),
            }
        });
        HealthView {
            node: self.me,
            quorum: evidence.quorum(&voters),
            links: links.collect(),
            members: roster
                .iter()
                .map(|(id, member)| self.member(&state, *id, member, &skews, now))
                .collect(),
            log_time_skew_ms: skews.log,
        }
    }

    fn member(
        &self,
        state: &State,
        id: NodeId,
        member: &Watched,
        skews: &Skews,
        now: Instant,
    ) -> MemberHealth {
        let age = if id == self.me { Some(Duration::ZERO) } else { state.reports.age(id, now) };
        MemberHealth {
            id,
            voter: member.voter,
            state: state.shown_members.shown(id),
            clock_skew_ms: skews.members.get(&id).copied(),
            heard_ms: age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
            connections: (id != self.me).then(|| self.peers.traffic(id).connections()),
        }
    }
}

impl State {
    /// Takes the members as they are now; who is none is forgotten.
    fn adopt(&mut self, roster: Roster, me: NodeId) {
        let members: BTreeSet<NodeId> = roster.keys().copied().collect();
        self.links.retain(|id, _| members.contains(id) && *id != me);
        self.heard.retain(|id, _| members.contains(id));
        self.reports.keep(&members);
        self.shown_members.keep(|id| members.contains(&id));
        self.shown_links.keep(|(from, to)| members.contains(&from) && members.contains(&to));
        self.roster = roster;
    }

    /// Makes this node's report anew.
    fn renew(&mut self, me: NodeId, interval: Duration, clock: ClockReport) -> Report {
        self.round += 1;
        let now = Instant::now();
        let others: Vec<NodeId> = self.roster.keys().copied().filter(|id| *id != me).collect();
        let links = others.into_iter().map(|to| {
            let link = self.links.entry(to).or_default();
            let heard = self.heard.get(&to);
            let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
            LinkReport {
                to,
                measured: link.measured,
                fault: link.fault,
                round_trip_us: link.round_trip.map(micros),
                hears: heard.is_some_and(|heard| now.duration_since(heard.at) <= interval * HEARD),
            }
        });
        let links = links.collect();
        let report = Report { node: me, incarnation: self.incarnation, round: self.round, links, clock };
        self.reports.put(report.clone(), now);
        report
    }

    /// What is told to others.
    fn told(&self, interval: Duration) -> Vec<Report> {
        self.reports.told(interval * FRESH, Instant::now())
    }

    /// Takes what `sender` tells: its own report at first hand, the others' at second hand.
    fn take(&mut self, reports: Vec<Report>, sender: NodeId, me: NodeId) {
        let now = Instant::now();
        for report in reports {
            if report.node == me || !self.roster.contains_key(&report.node) {
                continue;
            }
            if report.node == sender {
                self.reports.put(report, now);
            } else {
                self.reports.take(report, now);
            }
        }
    }

    /// A datagram has arrived. One that was sent once more by somebody else counts for nothing.
    fn hear(&mut self, report: Report, interval: Duration) {
        let (node, incarnation, round, now) = (report.node, report.incarnation, report.round, Instant::now());
        if !self.roster.contains_key(&node) {
            return;
        }
        let is_known = |incarnation| {
            let fresh = self.reports.fresh(interval * FRESH, now);
            fresh.get(&node).is_some_and(|known| known.incarnation == incarnation)
        };
        let is_new = match self.heard.get(&node) {
            Some(heard) if heard.incarnation == incarnation => round > heard.round,
            Some(heard) => incarnation > heard.incarnation || is_known(incarnation),
            None => true,
        };
        if is_new {
            self.heard.insert(node, LastDatagram { at: now, incarnation, round });
            // Mostly the same report has come over TCP already.
            self.reports.take(report, now);
        }
    }

    fn evidence<'a>(
        &'a self,
        me: NodeId,
        members: &'a BTreeSet<NodeId>,
        interval: Duration,
        now: Instant,
    ) -> Evidence<'a> {
        let mut reports = self.reports.fresh(interval * FRESH, now);
        reports.retain(|node, _| members.contains(node));
        Evidence { me, members, reports }
    }

    /// Looks at all reports, and tells what has changed.
    fn judge(&mut self, me: NodeId, interval: Duration) {
        let members: BTreeSet<NodeId> = self.roster.keys().copied().collect();
        let evidence = self.evidence(me, &members, interval, Instant::now());
        let links: Vec<_> = pairs(&members).map(|(from, to)| (from, to, evidence.link(from, to))).collect();
        let states: Vec<_> = members.iter().map(|id| (*id, evidence.member(*id))).collect();
        let details: BTreeMap<NodeId, LinkReport> = links
            .iter()
            .filter_map(|(from, to, _)| {
                Some((*to, evidence.reported(*from, *to).filter(|_| *from == me)?.clone()))
            })
            .collect();
        for (from, to, state) in links {
            let is_about_one_way = [state, self.shown_links.shown((from, to))].contains(&LinkState::OneWay);
            let needed = if is_about_one_way && state != LinkState::Up { SIGHTS } else { 1 };
            if let Some(was) = self.shown_links.see((from, to), state, needed).filter(|_| from == me) {
                tell_link(me, to, was, state, details.get(&to));
            }
        }
        for (member, state) in states {
            let needed = if state == MemberState::Up { 1 } else { SIGHTS };
            if let Some(was) = self.shown_members.see(member, state, needed) {
                tell_member(me, member, was, state);
            }
        }
    }
}

fn pairs(members: &BTreeSet<NodeId>) -> impl Iterator<Item = (NodeId, NodeId)> {
    members
        .iter()
        .flat_map(move |from| members.iter().filter(move |to| *to != from).map(move |to| (*from, *to)))
}

/// Each node tells of its own links; of the others' it would be the second or third to do so.
fn tell_link(node: NodeId, peer: NodeId, was: LinkState, state: LinkState, link: Option<&LinkReport>) {
    let fault = link.and_then(|link| link.fault).map_or("", Fault::name);
    let round_trip_us = link.and_then(|link| link.round_trip_us).unwrap_or(0);
    if matches!(state, LinkState::Up | LinkState::Unknown) {
        tracing::info!(node, peer, %was, %state, round_trip_us, "link state changed");
    } else {
        tracing::warn!(node, peer, %was, %state, fault, round_trip_us, "link state changed");
    }
    if link.is_some_and(|link| link.fault == Some(Fault::Rejected)) {
        tracing::warn!(
            node,
            peer,
            "the node there refuses this one: its cluster.id or cluster.secret is another"
        );
    }
}

fn tell_member(node: NodeId, member: NodeId, was: MemberState, state: MemberState) {
    if matches!(state, MemberState::Up | MemberState::Unknown) {
        tracing::info!(node, member, %was, %state, "member state changed");
    } else {
        tracing::warn!(node, member, %was, %state, "member state changed");
    }
}

/// Asks one member. Whatever it answers, but that it does not know this node, shows that the link works.
async fn ask(pool: &Pool, body: Vec<u8>, wait: Duration) -> Result<(Duration, Vec<Report>), Fault> {
    let began = Instant::now();
    let answer = pool.call(path::HEALTH, body, (began + wait).into()).await;
    let took = began.elapsed();
    match answer {
        Ok(answer) => Ok((took, wire::decode(&answer).unwrap_or_default())),
        // It is starting, and has nothing to tell yet.
        Err(CallError::Refused { status: StatusCode::SERVICE_UNAVAILABLE, .. }) => Ok((took, Vec::new())),
        Err(CallError::Refused { .. }) => Err(Fault::Rejected),
        Err(CallError::Lost { .. }) => Err(Fault::NoAnswer),
        Err(CallError::NotSent { kind, .. }) => Err(match kind {
            Some(std::io::ErrorKind::ConnectionRefused) => Fault::Refused,
            Some(_) => Fault::Silent,
            None => Fault::NoAnswer,
        }),
    }
}

async fn send_beat(beat: Option<(Arc<Datagrams>, Beat)>, pool: &Pool) {
    let Some((datagrams, beat)) = beat else { return };
    let address = match pool.last_address() {
        Some(address) => Some(address),
        None => look_up(pool.address()).await,
    };
    if let Some(address) = address {
        datagrams.send(&beat, address);
    }
}

async fn look_up(address: &str) -> Option<SocketAddr> {
    let found = tokio::time::timeout(LOOK_UP, tokio::net::lookup_host(address)).await;
    found.ok()?.ok()?.next()
}
