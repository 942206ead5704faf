//! The table at the end: medians over the rounds, and each system's throughput beside another's.

use crate::Load;
use crate::systems::System;

/// One measurement.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    /// Operations answered: commands, or pairs of them.
    pub commands: usize,
    /// How long it was measured.
    pub seconds: f64,
    /// CPU seconds of the system's processes in that time.
    pub cpu: f64,
    /// The share of the machine's CPU time in which it was not idle, 0 to 1.
    pub busy: f64,
    /// Microseconds from sending a pipeline to its last reply, one for each pipeline.
    pub batches_us: Vec<u32>,
}

impl Sample {
    /// Commands per second.
    pub(crate) fn throughput(&self) -> f64 {
        self.commands as f64 / self.seconds
    }

    fn cpu_per_100k(&self) -> f64 {
        self.cpu * 100_000.0 / self.commands.max(1) as f64
    }
}

/// All measurements.
#[derive(Default)]
pub(crate) struct Report(Vec<Row>);

struct Row {
    load: Load,
    system: String,
    /// The system that it is compared with.
    beside: String,
    samples: Vec<Sample>,
}

impl Row {
    fn throughput(&self) -> f64 {
        median(self.samples.iter().map(Sample::throughput).collect())
    }
}

impl Report {
    /// Adds a measurement.
    pub(crate) fn add(&mut self, load: Load, system: &System, sample: Sample) {
        match self.0.iter_mut().find(|row| row.load == load && row.system == system.name) {
            Some(row) => row.samples.push(sample),
            None => self.0.push(Row {
                load,
                system: system.name.clone(),
                beside: system.beside.clone(),
                samples: vec![sample],
            }),
        }
    }

    /// The throughput of the system that a row is compared with, if it was measured.
    fn base(&self, row: &Row) -> Option<f64> {
        self.0.iter().find(|base| base.load == row.load && base.system == row.beside).map(Row::throughput)
    }

    /// Prints the table as Markdown.
    pub(crate) fn print(&self) {
        println!(
            "| load | system | ops/s | ratio | beside | p50 ms | p99 ms | p99.9 ms | CPU s / 100k | busy |"
        );
        println!("|---|---|--:|--:|---|--:|--:|--:|--:|--:|");
        for row in &self.0 {
            let Row { load, system, beside, samples } = row;
            let throughput = row.throughput();
            let ratio = self.base(row).map_or_else(String::new, |base| format!("{:.2}", throughput / base));
            let mut times: Vec<u32> = samples.iter().flat_map(|sample| sample.batches_us.clone()).collect();
            times.sort_unstable();
            println!(
                "| {:?}, {} clients, pipeline {} | {system} | {throughput:.0} | {ratio} | {beside} | {:.2} | {:.2} | {:.2} | {:.2} | {:.0} % |",
                load.operation,
                load.clients,
                load.pipeline,
                quantile(&times, 0.5),
                quantile(&times, 0.99),
                quantile(&times, 0.999),
                median(samples.iter().map(Sample::cpu_per_100k).collect()),
                100.0 * median(samples.iter().map(|sample| sample.busy).collect()),
            );
        }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// Milliseconds at a quantile of sorted microseconds.
fn quantile(sorted: &[u32], q: f64) -> f64 {
    let index = ((sorted.len() as f64 * q) as usize).min(sorted.len().saturating_sub(1));
    f64::from(sorted.get(index).copied().unwrap_or(0)) / 1000.0
}
