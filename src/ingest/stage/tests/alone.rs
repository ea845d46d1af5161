//! What lines add up to does not depend on which lines came before them.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::ingest::stage::*;
use crate::watch::{Origin as SetBy, builtin};

const DATE_MS: i64 = 1_759_306_324_000;

fn settings(naming: Naming) -> Settings {
    Settings { max_groups_per_batch: 1000, naming: Arc::new(naming), ..super::settings(1 << 20) }
}

/// Figures by service, and counts by watch and group.
type Sums = (BTreeMap<(String, String), (u64, Option<i64>, Vec<u64>)>, BTreeMap<(u64, Vec<u8>), u64>, u64, u64);

fn add(sums: &mut Sums, settings: &Settings, set: &Arc<WatchSet>, lines: &[String]) {
    let from = From { sender: 1, address: [127, 0, 0, 1].into(), token: String::new(), tag: None };
    let mut batch = Batch::new(set.clone(), settings, from, DATE_MS);
    for line in lines {
        batch.line(Line { bytes: line.as_bytes(), cut: false });
    }
    let Finished { staged, tally, services, .. } = batch.finish(None, 0);
    for of in services {
        let sum = sums.0.entry((of.cluster, of.service)).or_insert_with(|| (0, None, vec![0; of.formats.len()]));
        sum.0 += of.lines;
        sum.1 = sum.1.max(of.newest_ms);
        sum.2.iter_mut().zip(of.formats).for_each(|(sum, n)| *sum += n);
    }
    for group in staged.groups {
        let count = sums.1.entry((group.watch.0, group.group.to_vec())).or_default();
        *count += group.counts.iter().map(|(_, n)| n).sum::<u64>();
    }
    sums.2 += tally.own;
    sums.3 += tally.rejected();
}

proptest! {
    #[test]
    fn lines_count_together_as_each_counts_alone(
        lines in proptest::collection::vec((0u8..4, 0u8..3, 0i64..100, prop_oneof![
            Just("10.1.2.3 - - [01/Oct/2025:08:12:04 +0000] \\\"GET / HTTP/1.1\\\" 503 7 \\\"-\\\" \\\"curl\\\""),
            Just("10.1.2.3 - - [01/Oct/2025:08:12:04 +0000] \\\"GET / HTTP/1.1\\\" 200 7 \\\"-\\\" \\\"kube-probe/1\\\""),
            Just("{\\\"level\\\":\\\"error\\\",\\\"msg\\\":\\\"panic: x\\\",\\\"service\\\":\\\"evil\\\"}"),
            Just("all is well"),
            Just("\", \"ecs_cluster\":\"other"),
            Just("\" broken"),
        ]), 1..30),
        naming in 0u8..3,
    ) {
        let naming = match naming {
            0 => Naming::default(),
            1 => Naming { own: vec!["shop-1".to_owned()], ..Naming::default() },
            _ => Naming { service: vec!["body.service".to_owned(), "log".to_owned()], ..Naming::default() },
        };
        let settings = settings(naming);
        let set = WatchSet::new(builtin::rules().into_iter().map(|rule| Watch::new(rule, SetBy::Builtin)).collect());
        let lines: Vec<String> = lines.iter().map(|(service, container, seconds, log)| format!(
            "{{\"date\":{}.25,\"container_id\":\"{container:060}{service:04}\",\"ecs_cluster\":\"c-{container}\",\
             \"ecs_task_definition\":\"shop-{service}:1\",\"log\":\"{log}\"}}", DATE_MS / 1000 - seconds)).collect();
        let (mut together, mut alone) = (Sums::default(), Sums::default());
        add(&mut together, &settings, &set, &lines);
        for line in &lines {
            add(&mut alone, &settings, &set, std::slice::from_ref(line));
        }
        prop_assert_eq!(together, alone);
    }
}
