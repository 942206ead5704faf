//! The table at the end: medians over the rounds, and each system's throughput beside the first one's.

use crate::Load;

/// One measurement.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    /// Commands answered.
    pub commands: usize,
    /// How long it was measured.
    pub seconds: f64,
    /// CPU seconds of the system's processes in that time.
    pub cpu: f64,
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
pub(crate) struct Report(Vec<(Load, &'static str, Vec<Sample>)>);

impl Report {
    /// Adds a measurement.
    pub(crate) fn add(&mut self, load: Load, system: &'static str, sample: Sample) {
        match self.0.iter_mut().find(|(l, s, _)| *l == load && *s == system) {
            Some((_, _, samples)) => samples.push(sample),
            None => self.0.push((load, system, vec![sample])),
        }
    }

    /// Prints the table as Markdown.
    pub(crate) fn print(&mut self) {
        println!("| load | system | ops/s | ratio | p50 ms | p99 ms | p99.9 ms | CPU s / 100k |");
        println!("|---|---|--:|--:|--:|--:|--:|--:|");
        let mut first: Option<(Load, f64)> = None;
        for (load, system, samples) in &mut self.0 {
            let throughput = median(samples.iter().map(Sample::throughput).collect());
            let base = match first {
                Some((of, base)) if of == *load => base,
                _ => throughput,
            };
            first = Some((*load, base));
            let mut times: Vec<u32> =
                samples.iter_mut().flat_map(|s| std::mem::take(&mut s.batches_us)).collect();
            times.sort_unstable();
            println!(
                "| {:?}, {} clients, pipeline {} | {system} | {throughput:.0} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} |",
                load.operation,
                load.clients,
                load.pipeline,
                throughput / base,
                quantile(&times, 0.5),
                quantile(&times, 0.99),
                quantile(&times, 0.999),
                median(samples.iter().map(Sample::cpu_per_100k).collect()),
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
