//! Writes the seeds of a target into a directory, a file each: `fuzz-seeds TARGET DIRECTORY`.

use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [target, directory] = &args[..] else { return Err("usage: fuzz-seeds TARGET DIRECTORY".into()) };
    let known = fuzz::TARGETS.iter().find(|known| known.name == target);
    let known = known.ok_or_else(|| format!("there is no target {target:?}"))?;
    std::fs::create_dir_all(directory)?;
    for (number, seed) in (known.seeds)().iter().enumerate() {
        std::fs::write(Path::new(directory).join(format!("seed-{number}")), seed)?;
    }
    Ok(())
}
