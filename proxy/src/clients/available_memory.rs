//! How much memory the process may have.

/// The memory that the process may have: the machine's, or its control group's if that is less; 0 if nobody says.
pub(super) fn available() -> u64 {
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| machine_memory(&text));
    let group = std::fs::read_to_string("/proc/self/cgroup").map(|text| group_memory(&text)).ok().flatten();
    [machine, group].into_iter().flatten().min().unwrap_or(0)
}

fn machine_memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// The least limit of the group and of those that it is in. What is seen of them inside of a container is its own.
fn group_memory(cgroup: &str) -> Option<u64> {
    let files = cgroup.lines().flat_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            "memory" => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            _ => return Vec::new(),
        };
        let groups = std::path::Path::new(path).ancestors();
        let groups = groups.map(|group| group.strip_prefix("/").unwrap_or(group));
        groups.map(|group| std::path::Path::new(root).join(group).join(file)).collect()
    });
    let limits = files.filter_map(|file| std::fs::read_to_string(file).ok()?.trim().parse::<u64>().ok());
    limits.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_the_machine_is_found() {
        assert_eq!(machine_memory("MemTotal:       2048 kB\nMemFree: 1 kB\n"), Some(2 << 20));
        assert!(available() > 0);
    }
}
