//! Links that lose packets, without a reset or any other sign, and links that are slow.

use super::Fault;
use crate::harness::deployment::Deployment;
use crate::harness::failure::{Failure, Result};
use crate::netns::Network;

fn network(deployment: &Deployment) -> Result<&Network> {
    deployment.network.as_ref().ok_or_else(|| Failure::Machine("there are no namespaces".to_owned()))
}

/// Directions in which every packet is lost.
pub(super) struct Cut {
    /// From whom to whom.
    lost: Vec<(usize, usize)>,
    /// Directions beside them, which work unless another fault cuts them.
    beside: Vec<(usize, usize)>,
    /// How many of these were seen to work.
    works: usize,
}

impl Cut {
    /// Between one and all others, both ways.
    pub(super) fn isolating(slot: usize, others: &[usize]) -> Self {
        let lost = others.iter().flat_map(|other| [(slot, *other), (*other, slot)]).collect();
        let beside = others.windows(2).map(|two| (two[0], two[1])).collect();
        Self { lost, beside, works: 0 }
    }

    /// Between one and all others, one way: what it sends, or what it is sent.
    pub(super) fn one_way(slot: usize, others: &[usize], lot: u64) -> Self {
        let out: Vec<_> = others.iter().map(|other| (slot, *other)).collect();
        let back: Vec<_> = others.iter().map(|other| (*other, slot)).collect();
        let (lost, beside) = if lot.is_multiple_of(2) { (out, back) } else { (back, out) };
        Self { lost, beside, works: 0 }
    }

    /// Between two, both ways.
    pub(super) fn between(one: usize, other: usize) -> Self {
        Self { lost: vec![(one, other), (other, one)], beside: Vec::new(), works: 0 }
    }

    fn check(&self, network: &Network) -> Result<()> {
        for (from, to) in &self.lost {
            if network.reaches(*from, *to).map_err(Failure::Machine)? {
                return Err(Failure::NoFault(format!("the way from slot {} to {} works", from + 1, to + 1)));
            }
        }
        Ok(())
    }
}

impl Fault for Cut {
    fn begin(&mut self, deployment: &mut Deployment) -> Result<()> {
        let network = network(deployment)?;
        self.lost.iter().for_each(|(from, to)| network.lose(*from, *to));
        for (from, to) in &self.beside {
            self.works += usize::from(network.reaches(*from, *to).map_err(Failure::Machine)?);
        }
        Ok(())
    }

    fn look(&mut self, deployment: &mut Deployment) -> Result<()> {
        self.check(network(deployment)?)
    }

    fn end(&mut self, deployment: &mut Deployment) -> Result<String> {
        let network = network(deployment)?;
        self.lost.iter().for_each(|(from, to)| network.mend(*from, *to));
        let ways: Vec<String> =
            self.lost.iter().map(|(from, to)| format!("{}→{}", from + 1, to + 1)).collect();
        Ok(format!("no datagram came through {}; {} ways beside worked", ways.join(" "), self.works))
    }
}

/// What one sends to the others waits in a queue that is emptied slowly, and is lost if that is full.
pub(super) struct Slow {
    slot: usize,
    others: Vec<usize>,
    kilobits: u32,
    held_up: u64,
}

impl Slow {
    pub(super) fn of(slot: usize, others: Vec<usize>, lot: u64) -> Self {
        Self { slot, others, kilobits: [64, 200, 600][lot as usize % 3], held_up: 0 }
    }
}

impl Fault for Slow {
    fn begin(&mut self, deployment: &mut Deployment) -> Result<()> {
        let network = network(deployment)?;
        for other in &self.others {
            network.slow(self.slot, &network.host(*other), self.kilobits).map_err(Failure::Machine)?;
        }
        Ok(())
    }

    fn look(&mut self, deployment: &mut Deployment) -> Result<()> {
        self.held_up = network(deployment)?.held_up(self.slot).map_err(Failure::Machine)?;
        if self.held_up > 0 { Ok(()) } else { Err(Failure::NoFault("no packet had to wait".to_owned())) }
    }

    fn end(&mut self, deployment: &mut Deployment) -> Result<String> {
        network(deployment)?.hurry(self.slot).map_err(Failure::Machine)?;
        let (slot, packets, kilobits) = (self.slot + 1, self.held_up, self.kilobits);
        Ok(format!("{packets} packets from slot {slot} had to wait for {kilobits} kbit/s"))
    }
}
