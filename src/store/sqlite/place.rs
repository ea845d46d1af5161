//! What the place that a store lies in is good for.

use std::path::Path;

/// What is lost when, where `path` is: shown to people, so that nobody relies on a disk that goes with its
/// task. Told by the kind of file system; what cannot be told is called the weakest.
pub fn durability(path: &Path) -> &'static str {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (Ok(folder), Ok(mounts)) = (folder.canonicalize(), std::fs::read_to_string("/proc/self/mounts")) else {
        return "task_lifetime";
    };
    let kind = mounts
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ').skip(1);
            Some((words.next()?, words.next()?))
        })
        .filter(|(place, _)| folder.starts_with(place))
        .max_by_key(|(place, _)| place.len())
        .map(|(_, kind)| kind);
    match kind {
        // A container's own layer goes with the container.
        None | Some("overlay" | "aufs") => "task_lifetime",
        Some("tmpfs" | "ramfs") => "process_crash",
        Some(_) => "power_loss",
    }
}
